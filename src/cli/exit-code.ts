/** What the process tells its caller. Stable: scripts depend on them. */
export const EXIT = {
  clean: 0,
  /** A divergence, a difference, a finding, or a log that does not verify. */
  finding: 1,
  /** Wrong usage, or input that cannot be read. */
  badInput: 2,
  /** A bug of ours. */
  bug: 70,
} as const;

/** One of the codes above. */
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
