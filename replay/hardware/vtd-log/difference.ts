/** What a log has and a trace does not predict, or the other way round. */
export interface LogDifference {
  /**
   * `not-logged`: predicted only; `only-logged`: not predicted; `not-held`: a hit of no entry that is held;
   * `not-mapped`, `other-page`: an entry that the tables of the trace do not give.
   */
  readonly what: 'not-logged' | 'only-logged' | 'not-held' | 'not-mapped' | 'other-page';
  /** Line of the log; null for what is not in it. */
  readonly line: number | null;
  /** Record of the trace; null for what no record explains. */
  readonly seq: number | null;
  readonly says: string;
}

export interface TranslationTally {
  /** Hits of devices of the trace; each needs an entry. */
  readonly hits: number;
  /** Entries that the unit made by walking tables of the trace. */
  readonly updates: number;
}
