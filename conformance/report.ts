import { compareText } from './captures.ts';
import { CAUSES, type Cause, UNEXPLAINED } from './causes.ts';
import { addCounts, type Counts, comparable, noCounts, rightResults } from './counts.ts';
import { groupDifferences, type KnownDifference } from './known.ts';
import type { CaptureReport } from './replay-capture.ts';

/** Writes what replays of captures came to as Markdown. Depends on the captures and the model only. */

const HEAD = `# Conformance

What the model answers to recorded calls, beside what the recorded kernel answered. Every capture of
\`test/fixtures/\` is replayed; \`PROVENANCE.md\` in each folder says where it comes from.
This file is written by \`npm run conformance\`.

- **result**: return value and errno were predicted, of the calls whose reply was recorded.
- **whole**: so was every byte of the struct and of user buffers.
- **partial**: the result was predicted; bytes that no record tells were not.
- **learned**: calls from whose reply a fact was taken that only it tells, such as a descriptor's number.
- **not modelled**: the model does not answer the call.
- **wrong result**, **wrong bytes**: predicted otherwise than recorded. The recorded answer is adopted, and
  the replay goes on.

Recorders keep 4096 bytes of a struct. Where its size field says more, the bytes left out are taken to be not
all zero (E2BIG): \`predict\` says so of each such call (\`assumed\`), and another recorded answer is learned.

Calls such as mmap and open are inputs, whose results are taken as recorded; they are not counted.
`;

const COLUMNS = [
  'calls',
  'result',
  'whole',
  'partial',
  'learned',
  'not modelled',
  'wrong result',
  'wrong bytes',
];

export function renderReport(reports: readonly CaptureReport[]): string {
  const known = reports.flatMap(({ differences }) => groupDifferences(differences));
  const parts = [
    HEAD,
    `## Folders\n\n${folderTable(reports)}`,
    `## Descriptors\n\n${descriptorTable(reports)}`,
    `## Calls\n\n${callTable(reports)}`,
    `## Causes\n\n${causeTable(known)}`,
    `## Remaining differences\n\n${differenceTables(known)}`,
  ];
  return parts.join('\n');
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  return line(head) + line(head.map(() => '---')) + rows.map(line).join('');
}

function cellsOf(counts: Counts): string[] {
  const { calls, matched, partial, learned, notModelled, wrongResult, wrongBytes } = counts;
  const result = share(rightResults(counts), comparable(counts));
  return [calls, result, matched, partial, learned, notModelled, wrongResult, wrongBytes].map(String);
}

/** Never rounded up: 100 % says that nothing is missing. */
function share(part: number, whole: number): string {
  if (whole === 0) return '–';
  return `${part === whole ? '100' : (Math.floor((part / whole) * 1000) / 10).toFixed(1)} %`;
}

function sumOf(counts: Iterable<Counts>): Counts {
  const sum = noCounts();
  for (const each of counts) addCounts(sum, each);
  return sum;
}

function folderTable(reports: readonly CaptureReport[]): string {
  const rows: string[][] = [];
  const groups = groupBy(reports, ({ folder, profile }) => `${folder}\t${profile}`);
  for (const [key, group] of groups) {
    const total = sumOf(group.flatMap(({ counts }) => [...counts.values()]));
    const [folder, profile] = key.split('\t') as [string, string];
    const others = group.filter(({ profileExact }) => !profileExact).length;
    const captures =
      others === 0 ? `${group.length}` : `${group.length} (${others} of another kernel or page size)`;
    rows.push([code(folder), profile, captures, ...cellsOf(total)]);
  }
  const all = sumOf(reports.flatMap(({ counts }) => [...counts.values()]));
  rows.push(['all', '', String(reports.length), ...cellsOf(all)]);
  return table(['folder', 'profile', 'captures', ...COLUMNS], rows);
}

function descriptorTable(reports: readonly CaptureReport[]): string {
  const sums = sumCounts(reports, ({ folder }, call) => `${folder} ${call.slice(0, call.indexOf(' '))}`);
  const rows = sums.map(([key, counts]) => {
    const [folder, kind] = key.split(' ') as [string, string];
    return [code(folder), kind, ...cellsOf(counts)];
  });
  return table(['folder', 'descriptor', ...COLUMNS], rows);
}

function callTable(reports: readonly CaptureReport[]): string {
  const rows = sumCounts(reports, ({ profile }, call) => `${profile} ${call}`).map(([key, counts]) => {
    const [profile, kind, name] = key.split(' ') as [string, string, string];
    return [profile, kind, code(name), ...cellsOf(counts)];
  });
  return table(['profile', 'descriptor', 'call', ...COLUMNS], rows);
}

/** Sums of the counts of all calls that have the same key, by key. */
function sumCounts(
  reports: readonly CaptureReport[],
  keyOf: (report: CaptureReport, call: string) => string,
): [string, Counts][] {
  const sums = new Map<string, Counts>();
  for (const report of reports) {
    for (const [call, more] of report.counts) {
      const key = keyOf(report, call);
      const sum = sums.get(key) ?? noCounts();
      addCounts(sum, more);
      sums.set(key, sum);
    }
  }
  return [...sums].sort(([a], [b]) => compareText(a, b));
}

function causeTable(known: readonly KnownDifference[]): string {
  const total = (id: string): number => sum(known.filter(({ cause }) => cause === id));
  const row = ({ id, what, source, why }: Cause): string[] => [
    code(id),
    String(total(id)),
    cell(what),
    source === null ? '' : cell(source),
    cell(why),
  ];
  const rows = CAUSES.filter(({ id }) => total(id) > 0).map(row);
  const rest = total(UNEXPLAINED);
  if (rest > 0) rows.push([code(UNEXPLAINED), String(rest), 'No cause of this table.', '', 'To be found.']);
  return table(['cause', 'calls', 'what', 'kernel function', 'why it is not predicted'], rows);
}

/** Places shown in a row; all of them are in the list beside this program. */
const PLACES_SHOWN = 6;

function differenceTables(known: readonly KnownDifference[]): string {
  const note = `Each with its first places, as capture:seq; \`conformance/known-differences.jsonl\` has all of them.\n`;
  const tables = [...groupBy(known, ({ fixture }) => folderOf(fixture))].map(
    ([folder, group]) => `### ${folder}\n\n${differenceTable(group)}`,
  );
  return [note, ...tables].join('\n');
}

function differenceTable(known: readonly KnownDifference[]): string {
  const alike = groupBy(known, ({ call, differs, recorded, predicted, cause }) =>
    JSON.stringify([call, differs, recorded, predicted, cause]),
  );
  const rows = [...alike]
    .sort(([a], [b]) => compareText(a, b))
    .map(([, group]) => {
      const { call, differs, recorded, predicted, cause } = group[0]!;
      const values = recorded === undefined ? '' : ` ${recorded}, predicted ${predicted}`;
      return [call, `${differs}${values}`, String(sum(group)), code(cause), placesOf(group)];
    });
  return table(['call', 'difference', 'calls', 'cause', 'where'], rows);
}

function placesOf(known: readonly KnownDifference[]): string {
  const places = known.flatMap(({ fixture, seqs }) => {
    const name = fixture.slice(folderOf(fixture).length + 1);
    return seqs === undefined ? [name] : seqs.map((seq) => `${name}:${seq}`);
  });
  const shown = places.slice(0, PLACES_SHOWN).join(', ');
  return places.length > PLACES_SHOWN ? `${shown}, …` : shown;
}

function folderOf(fixture: string): string {
  return fixture.slice(0, fixture.indexOf('/'));
}

function sum(known: readonly KnownDifference[]): number {
  return known.reduce((total, { count }) => total + count, 0);
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}

const code = (text: string): string => `\`${text}\``;
const cell = (text: string): string => text.replaceAll('|', '\\|');
