import type { EventLine, HolderLine, ScopeLine, TenureLine } from '../audit/index.ts';
import type { Session } from './session.ts';
import { type Column, renderTable } from './table.ts';

/** Rows of one table, and how many there are in all. */
interface Page<Line> {
  readonly count: number;
  readonly rows: readonly Line[];
}

/** What `ioasis audit pasid` found; the parts depend on whether it was asked for one moment. */
export type AuditAnswer = {
  readonly trace: string;
  readonly leaked: Page<TenureLine>;
  readonly unflushed: Page<TenureLine>;
} & (
  | { readonly at: number; readonly holders: readonly HolderLine[] }
  | {
      readonly at: null;
      readonly held: Page<TenureLine>;
      readonly events: Page<EventLine>;
      readonly reused: Page<TenureLine>;
      readonly scopes: readonly ScopeLine[];
    }
);

/** The answer as one JSON object. */
export function jsonOfAnswer(answer: AuditAnswer): string {
  const { trace, at } = answer;
  if (at !== null) return JSON.stringify({ trace, at, holders: answer.holders });
  const { held, events, leaked, reused, unflushed, scopes } = answer;
  return JSON.stringify({
    trace,
    tenures: held.rows,
    events: events.rows,
    leaked: leaked.rows.map(({ tenure }) => tenure),
    reused: reused.rows.map(({ tenure }) => tenure),
    reusedBeforeFlush: unflushed.rows.map(({ tenure }) => tenure),
    scopes,
  });
}

/** The answer as CSV (RFC 4180, but lines end with a newline only): the holders, or what happened. */
export function* csvOfAnswer(answer: AuditAnswer): Generator<string> {
  const rows: readonly object[] = answer.at === null ? answer.events.rows : answer.holders;
  const columns = answer.at === null ? EVENT_COLUMNS : HOLDER_COLUMNS;
  yield columns.join(',');
  for (const row of rows) {
    const cells = row as Readonly<Record<string, string | number | null>>;
    yield columns.map((column) => csvCell(cells[column] ?? null)).join(',');
  }
}

const EVENT_COLUMNS: readonly (keyof EventLine)[] = [
  ...(['seq', 't_ns', 'pid', 'fd', 'call', 'what', 'generation', 'scope_kind', 'scope', 'pasid'] as const),
  ...(['vpasid', 'tenure', 'context', 'function', 'device', 'hwpt', 'ioas', 'vm', 'reason'] as const),
];
const HOLDER_COLUMNS: readonly (keyof HolderLine)[] = [
  ...(['scope_kind', 'scope', 'pasid', 'vpasid', 'tenure', 'generation', 'pid', 'fd', 'context'] as const),
  ...(['from_seq', 'to_seq', 'function', 'device', 'hwpt', 'ioas'] as const),
];

function csvCell(value: string | number | null): string {
  const text = value === null ? '' : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Prints the answer as a person reads it. */
export function printAnswer(session: Session, answer: AuditAnswer): void {
  const { bold } = session.colors;
  if (answer.at !== null) {
    const { holders, at } = answer;
    const what = holders.length === 0 ? 'no PASID is held' : 'PASIDs that are held';
    session.print(`${bold(answer.trace)}: ${what} after call ${at}`);
    if (holders.length > 0) printRows(session, HOLDERS, holders);
    return;
  }
  const { held, events, leaked, reused, unflushed, scopes } = answer;
  const counts = [
    count(held.count, 'PASID handed out', 'PASIDs handed out'),
    `${leaked.count} never freed`,
    `${reused.count} handed out again`,
    `${unflushed.count} of these before a flush`,
  ];
  session.print(`${bold(answer.trace)}: ${counts.join(', ')}`);
  for (const group of groupsOf(events.rows)) {
    session.print(`\n${bold(titleOf(group[0]!))}`);
    printRows(session, EVENTS, group);
  }
  printPage(session, 'Never freed', leaked, LEAKS, leakCells);
  printPage(session, 'Handed out again', reused, REUSES, reuseCells);
  if (scopes.some(({ tenures, refused }) => tenures + refused > 0)) {
    session.print(`\n${bold('High-water marks of the whole trace')}`);
    session.print(indent(renderTable(session, SCOPES, scopes.map(scopeCells))));
  }
  const hidden = events.count - events.rows.length;
  if (hidden > 0) session.print(`\n${count(hidden, 'event is', 'events are')} not shown (--limit)`);
}

function printPage<Line>(
  session: Session,
  title: string,
  { rows, count: all }: Page<Line>,
  columns: readonly Column[],
  cells: (line: Line) => readonly (string | number)[],
): void {
  if (all === 0) return;
  const more = all > rows.length ? ` (the first ${rows.length} of ${all})` : '';
  session.print(`\n${session.colors.bold(title)}${more}`);
  session.print(indent(renderTable(session, columns, rows.map(cells))));
}

/** Lines of one PASID in one scope stand together. */
function* groupsOf(lines: readonly EventLine[]): Generator<readonly EventLine[]> {
  let group: EventLine[] = [];
  for (const line of lines) {
    const last = group[0];
    const isSame =
      last?.pasid === line.pasid && last.scope === line.scope && last.scope_kind === line.scope_kind;
    if (last !== undefined && !isSame) {
      yield group;
      group = [];
    }
    group.push(line);
  }
  if (group.length > 0) yield group;
}

const titleOf = ({ pasid, scope_kind: kind, scope }: EventLine): string =>
  pasid === 0
    ? `Requests for a PASID of ${scopeName(kind, scope)} that got none`
    : `PASID ${pasid} of ${scopeName(kind, scope)}`;

const scopeName = (kind: string, name: string): string => (name === '' ? `the ${kind}` : `${kind} ${name}`);
const count = (number: number, one: string, many: string): string => `${number} ${number === 1 ? one : many}`;
const orDash = (value: string | number | null): string | number => value ?? '-';
const idOrDash = (value: number | null): string | number => value || '-';
const indent = (text: string): string => text.replace(/^(?=.)/gm, '  ');

const num = (title: string): Column => ({ title, isNumber: true });
const text = (title: string): Column => ({ title });

/** A column with what it shows of a row; one that only some generations fill is left out when empty. */
interface Shown<Line> {
  readonly column: Column;
  readonly cell: (line: Line) => string | number;
  readonly isUsed?: (line: Line) => boolean;
}

function printRows<Line>(session: Session, shown: readonly Shown<Line>[], lines: readonly Line[]): void {
  const used = shown.filter(({ isUsed }) => isUsed === undefined || lines.some(isUsed));
  const rows = lines.map((line) => used.map(({ cell }) => cell(line)));
  session.print(
    indent(
      renderTable(
        session,
        used.map(({ column }) => column),
        rows,
      ),
    ),
  );
}

/** Address spaces of the proposals are numbered from 0; elsewhere 0 is none. */
const ioasOrDash = ({ generation, ioas }: Pick<EventLine, 'generation' | 'ioas'>): string | number =>
  /^proposal-|^rfc-/.test(generation) ? orDash(ioas) : idOrDash(ioas);
const hasVpasid = ({ vpasid }: { readonly vpasid: number | null }): boolean => vpasid !== null;

const EVENTS: readonly Shown<EventLine>[] = [
  { column: num('SEQ'), cell: ({ seq }) => seq },
  { column: num('PID'), cell: ({ pid }) => pid },
  { column: num('FD'), cell: ({ fd }) => orDash(fd) },
  { column: text('WHAT'), cell: ({ what }) => what },
  { column: text('CALL'), cell: ({ call }) => call },
  { column: num('VPASID'), cell: ({ vpasid }) => orDash(vpasid), isUsed: hasVpasid },
  { column: text('FUNCTION'), cell: (line) => orDash(line.function) },
  { column: num('DEVICE'), cell: ({ device }) => idOrDash(device) },
  { column: num('HWPT'), cell: ({ hwpt }) => idOrDash(hwpt) },
  { column: num('IOAS'), cell: ioasOrDash },
  { column: text('VM'), cell: ({ vm }) => orDash(vm), isUsed: ({ vm }) => vm !== null },
  { column: num('CONTEXT'), cell: ({ context }) => context },
  { column: num('HOLDER'), cell: ({ tenure }) => orDash(tenure) },
  { column: text('REASON'), cell: ({ reason }) => reason ?? '' },
];

const HOLDERS: readonly Shown<HolderLine>[] = [
  { column: num('PASID'), cell: ({ pasid }) => pasid },
  { column: num('VPASID'), cell: ({ vpasid }) => orDash(vpasid), isUsed: hasVpasid },
  { column: text('SCOPE'), cell: (line) => scopeName(line.scope_kind, line.scope) },
  { column: num('PID'), cell: ({ pid }) => pid },
  { column: num('FD'), cell: ({ fd }) => orDash(fd) },
  { column: num('CONTEXT'), cell: ({ context }) => context },
  { column: text('FUNCTION'), cell: (line) => orDash(line.function) },
  { column: num('DEVICE'), cell: ({ device }) => idOrDash(device) },
  { column: num('HWPT'), cell: ({ hwpt }) => idOrDash(hwpt) },
  { column: num('IOAS'), cell: ioasOrDash },
  { column: num('FROM'), cell: (line) => line.from_seq },
  { column: num('TO'), cell: (line) => orDash(line.to_seq) },
  { column: num('HOLDER'), cell: ({ tenure }) => tenure },
];

const LEAKS: readonly Column[] = [
  ...[num('PASID'), text('SCOPE'), num('PID'), num('FD'), num('CONTEXT'), num('FROM'), num('CONTEXT GONE')],
  num('HOLDER'),
];
const leakCells = (line: TenureLine) => [
  ...[line.pasid, scopeName(line.scope_kind, line.scope), line.pid, orDash(line.fd), line.context],
  ...[line.from_seq, orDash(line.orphan_seq), line.tenure],
];

const REUSES: readonly Column[] = [
  ...[num('PASID'), text('SCOPE'), num('SEQ'), num('CALLS SINCE'), num('NS SINCE'), text('FLUSHED BY')],
  ...[num('FIRST HOLDER'), num('NEXT HOLDER')],
];
const reuseCells = (line: TenureLine) => [
  ...[line.pasid, scopeName(line.scope_kind, line.scope), line.from_seq, orDash(line.reuse_calls)],
  ...[orDash(line.reuse_ns), FLUSHED_BY[line.reuse_flush ?? ''] ?? '-', orDash(line.previous), line.tenure],
];
const FLUSHED_BY: Readonly<Record<string, string>> = {
  kernel: 'kernel',
  asked: 'user space',
  none: 'NOBODY',
};

const SCOPES: readonly Column[] = [
  ...[text('SCOPE'), num('HANDED OUT'), num('HELD'), num('MOST'), num('AT SEQ'), num('QUOTA')],
  num('REFUSED'),
];
const scopeCells = (line: ScopeLine) => [
  ...[scopeName(line.kind, line.scope), line.tenures, line.held, line.high_water],
  ...[orDash(line.high_water_seq), orDash(line.quota), line.refused],
];
