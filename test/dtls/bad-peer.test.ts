import { describe, expect, it } from 'vitest';
import { BadClient, BadServer } from '../support/bad-peer.ts';

describe('a bad peer that behaves', () => {
  it('completes as a client', () => {
    const peer = new BadClient();
    peer.greet();
    peer.completeProperly();
    expect(peer.side.session).toBeDefined();
    peer.say('hello');
    expect(peer.side.texts).toEqual(['hello']);
    peer.side.connection.send(new TextEncoder().encode('and back'));
    peer.collect();
    expect(peer.data).toEqual(['and back']);
  });

  it('completes as a server', () => {
    const peer = new BadServer();
    peer.completeProperly();
    expect(peer.side.session).toBeDefined();
    peer.say('hello');
    expect(peer.side.texts).toEqual(['hello']);
  });
});
