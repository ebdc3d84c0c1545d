/**
 * Puts events in the order of their time. Tools that read one buffer for each CPU write their lines in the
 * order of the buffers; an event that comes late is moved to its place if that is not more than so many lines
 * back. What is older has been handed over.
 */
export interface Timeline {
  /** Counts a line, and hands over what can not be overtaken any more. */
  tick(): void;
  /** Adds an event at its time in nanoseconds; `run` is called when its turn comes. */
  add(ns: bigint, run: () => void): void;
  end(): void;
}

interface Event {
  readonly ns: bigint;
  readonly line: number;
  readonly run: () => void;
}

export function createTimeline(linesBack: number): Timeline {
  let events: Event[] = [];
  let first = 0;
  let line = 0;
  const runFirst = (): void => {
    const { run } = events[first]!;
    first += 1;
    if (first > linesBack) {
      events = events.slice(first);
      first = 0;
    }
    run();
  };
  return {
    tick() {
      line += 1;
      while (first < events.length && events[first]!.line + linesBack < line) runFirst();
    },
    add(ns, run) {
      let at = events.length;
      while (at > first && events[at - 1]!.ns > ns) at -= 1;
      if (at === events.length) events.push({ ns, line, run });
      else events.splice(at, 0, { ns, line, run });
    },
    end() {
      while (first < events.length) runFirst();
    },
  };
}
