/**
 * How many cases a test runs: `usual` of them in the normal run, `whole` with DTUNNEL_FULL_COUNTS=1, where the number that
 * the test is about takes minutes.
 */
export function cases(usual: number, whole: number): number {
  return process.env['DTUNNEL_FULL_COUNTS'] === '1' ? whole : usual;
}
