import type { EventDifference, ExpectedEvent, FtraceComparison, IommuEvent } from '../../replay/index.ts';
import { hex } from './hardware-point.ts';
import type { Session } from './session.ts';

/** Events of the kernel's trace beside what the model expects, for people and for programs. */

/** Differences that are printed; all are counted, and `--json` has them all. */
const MOST_LINES = 50;

export function jsonOfFtrace(comparison: FtraceComparison): string {
  const differences = comparison.differences.map(({ what, seq, expected, event }) => ({
    what,
    seq,
    expected: expected === null ? null : fieldsOf(expected),
    event:
      event === null ? null : { line: event.line, task: `${event.task}-${event.tid}`, ...fieldsOf(event) },
  }));
  return JSON.stringify({ ...comparison, differences });
}

/** An event's own fields, addresses as hex strings, sizes in bytes; what is not known is left out. */
function fieldsOf(event: ExpectedEvent | IommuEvent): object {
  const page = 'page' in event ? event.page : null;
  const count = 'count' in event ? event.count : null;
  const frame = 'frame' in event ? event.frame : null;
  const bdf = 'bdf' in event ? event.bdf : null;
  return {
    kind: event.kind,
    ...(page === null ? {} : { iova: hex(BigInt(page) << 12n) }),
    ...(count === null ? {} : { size: count * 4096 }),
    ...('unmapped' in event ? { unmapped: event.unmapped * 4096 } : {}),
    ...(frame === null ? {} : { physical: hex(BigInt(frame) << 12n) }),
    ...(bdf === null ? {} : { bdf }),
  };
}

export function printFtrace(session: Session, comparison: FtraceComparison): void {
  const { entries, equal, different, maps, unmaps, attaches, faults } = comparison;
  const { others, unknownBits, lost, differences } = comparison;
  for (const difference of differences.slice(0, MOST_LINES)) session.print(lineOf(difference));
  if (differences.length > MOST_LINES) session.print(`… and ${differences.length - MOST_LINES} more`);
  session.print(
    `iommu trace events: ${maps} maps, ${unmaps} unmaps, ${attaches} attachments, ${faults} faults; ` +
      `${entries} compared, ${equal} equal, ${different} different`,
  );
  for (const [holds, bits] of Object.entries(unknownBits))
    session.print(`  ${holds}: ${bits} bits that the trace does not determine`);
  for (const [name, count] of Object.entries(others)) session.print(`  ${name}: ${count} events of its own`);
  if (lost > 0) session.print(`  the kernel lost ${lost} events: what is missing may have been among them`);
}

function lineOf({ what, seq, expected, event }: EventDifference): string {
  const cause = seq === null ? 'the end of a process' : `call ${seq}`;
  const found = event === null ? '' : `line ${event.line}: ${textOf(event)}`;
  if (what === 'extra') return `${found}: nothing in the trace accounts for it`;
  if (what === 'missing') return `${cause}: ${textOf(expected!)} is missing`;
  return `${found}, where ${cause} should give ${textOf(expected!)}`;
}

function textOf(event: ExpectedEvent | IommuEvent): string {
  const { kind, ...fields } = fieldsOf(event) as { readonly kind: string } & Record<string, unknown>;
  const text = Object.entries(fields).map(([name, value]) => `${name} ${String(value)}`);
  return [kind, ...text].join(' ');
}
