/** Tables of timelines: what a replay was like at points of it. A cache: may be emptied at any time. */
export const TIMELINE_SCHEMA = `
CREATE TABLE timeline (
  trace INTEGER PRIMARY KEY,
  version TEXT NOT NULL,             -- of the model, its profile and the number of calls: others are not used
  facts TEXT NOT NULL                -- JSON: what only a look at the whole trace tells
) STRICT;

-- States of the model after a call, from which a replay can go on.
CREATE TABLE timeline_point (
  trace INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  state BLOB NOT NULL,
  UNIQUE (trace, seq)
) STRICT;

-- Every so manieth call that changed what the hardware holds, with a sum over all changes so far.
CREATE TABLE hardware_change (
  trace INTEGER NOT NULL,
  change INTEGER NOT NULL,           -- 1 for the first of the trace
  seq INTEGER NOT NULL,
  chain TEXT NOT NULL,
  PRIMARY KEY (trace, change)
) STRICT, WITHOUT ROWID;
`;

/** Every table of a timeline. */
export const TIMELINE_TABLES = ['timeline', 'timeline_point', 'hardware_change'] as const;
