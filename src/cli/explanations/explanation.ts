/** What `dtunnel help CODE` says about one code. */
export interface Explanation {
  /** A few words. */
  readonly title: string;
  /** Why it happens and why it is an error, in sentences. */
  readonly text: string;
  /** Lines that show the mistake and the remedy, or a command with its output. */
  readonly example: string;
}
