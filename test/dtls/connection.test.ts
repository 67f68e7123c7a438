import { describe, expect, it } from 'vitest';
import { Pair } from '../support/pair.ts';

describe('two connections', () => {
  it('complete a handshake and carry data both ways', () => {
    const pair = new Pair().connect();
    expect(pair.client.connection.state).toBe('established');
    expect(pair.accepted.connection.state).toBe('established');
    pair.say('client', 'to the server');
    pair.say('server', 'to the client');
    pair.drive();
    expect(pair.accepted.texts).toEqual(['to the server']);
    expect(pair.client.texts).toEqual(['to the client']);
    expect(pair.elapsed).toBeLessThan(100);
  });
});
