import { describe, expect, it } from 'vitest';
// First, see there: this one counts what the others run.
import './coverage.ts';
import { corpusOf, fuzzBounded, fuzzGuided } from './fuzzer.ts';
import { certificates } from './targets/certificates.ts';
import { config } from './targets/config.ts';
import { controlMessages } from './targets/control-messages.ts';
import { established, handshake } from './targets/engine.ts';
import { frontDoor } from './targets/front-door.ts';
import { messages } from './targets/messages.ts';
import { reassembly } from './targets/reassembly.ts';
import { records } from './targets/records.ts';

// Fuzzing (README.md). The normal run is bounded and the same each time; DTUNNEL_FUZZ_SECONDS searches for that long per
// target, led by coverage, with DTUNNEL_FUZZ_SEED or another seed each time.

const TARGETS = [
  records,
  messages,
  reassembly,
  certificates,
  config,
  controlMessages,
  frontDoor,
  handshake,
  established,
];

const seconds = Number(process.env['DTUNNEL_FUZZ_SECONDS'] ?? '0');
const seed = Number(process.env['DTUNNEL_FUZZ_SEED'] ?? Date.now() % 2 ** 31);

describe.each(TARGETS.map((target) => ({ name: target.name, target })))('$name', ({ target }) => {
  it(
    `holds its laws for the corpus and ${seconds > 0 ? `a search of ${seconds} s` : 'a fixed run of mutants'}`,
    () => {
      if (seconds === 0) {
        expect(fuzzBounded(target).executions).toBeGreaterThanOrEqual(target.executions);
        return;
      }
      const { executions, coverage, corpus, seconds: took } = fuzzGuided(target, seconds, seed);
      const share = coverage === undefined ? 'unknown' : `${(coverage * 100).toFixed(1)} %`;
      const rate = (executions / took).toFixed(0);
      console.log(`| ${target.name} | ${executions} | ${took.toFixed(0)} s | ${rate}/s | ${share} | ${corpus} |`);
      expect(corpusOf(target).length).toBeLessThan(1000);
    },
    (seconds + 120) * 1000,
  );
});
