import type { AskedRange } from './asked-range.ts';
import type { TraceIndex } from './trace-index.ts';

/** Descriptors that nearly every call names: what shares only these is not related. */
const WIDE: ReadonlySet<string> = new Set(['iommufd', 'container']);

/**
 * Sets of records that may be enough to show what the seeds show, the likely ones first: what makes the
 * resources that the seeds name; with what else was done to these resources and ranges; and so on up to
 * everything. Whoever asks tests which is enough.
 * @param seeds Positions of records that must stay.
 */
export function* slices(
  index: TraceIndex,
  seeds: readonly number[],
): Generator<readonly number[], void, undefined> {
  const ranges = seeds.flatMap((seed) => index.range(seed) ?? []);
  const last = Math.max(...seeds);
  let size = -1;
  const steps = [
    () => closureOf(index, seeds),
    () => relatedOnce(index, seeds, ranges),
    () => relatedFully(index, seeds, ranges),
    () => withoutOtherRanges(index, seeds, ranges, last),
    () => sameSpaces(index, seeds, ranges, last),
    () => everything(last + 1),
    () => everything(index.seqs.length),
  ];
  for (const step of steps) {
    const records = step();
    // A wider slice of the same size is the same slice.
    if (records.length === size) continue;
    size = records.length;
    yield records;
  }
}

const everything = (count: number): readonly number[] => Array.from({ length: count }, (_, record) => record);

/** The records, and those that made what they name, and so on. */
export function closureOf(index: TraceIndex, seeds: Iterable<number>): readonly number[] {
  const found = new Set(seeds);
  const queue = [...found];
  for (let record = queue.pop(); record !== undefined; record = queue.pop()) {
    const from = record;
    const makers = index.uses(from).flatMap((resource) => lastBefore(index.makersOf(resource), from));
    const fork = index.forkOf(from);
    for (const maker of fork === null || fork >= from ? makers : [...makers, fork]) {
      if (found.has(maker)) continue;
      found.add(maker);
      queue.push(maker);
    }
  }
  return [...found].sort((one, other) => one - other);
}

/** The first of the records: the one that made it; later ones answered the same number again. */
function lastBefore(makers: readonly number[], record: number): readonly number[] {
  const first = makers[0];
  return first === undefined || first >= record ? [] : [first];
}

/** One step of what else was done to what the records name, before the last of them. */
function relatedOnce(
  index: TraceIndex,
  seeds: readonly number[],
  ranges: readonly AskedRange[],
): readonly number[] {
  return closureOf(index, related(index, closureOf(index, seeds), seeds, ranges));
}

/** All steps. */
function relatedFully(
  index: TraceIndex,
  seeds: readonly number[],
  ranges: readonly AskedRange[],
): readonly number[] {
  let found = closureOf(index, seeds);
  for (;;) {
    const more = closureOf(index, related(index, found, seeds, ranges));
    if (more.length === found.length) return more;
    found = more;
  }
}

function related(
  index: TraceIndex,
  records: readonly number[],
  seeds: readonly number[],
  ranges: readonly AskedRange[],
): readonly number[] {
  const last = Math.max(...seeds);
  const found = new Set([...records, ...seeds]);
  const resources = new Set(records.flatMap((record) => [...index.uses(record), ...index.gives(record)]));
  for (const resource of resources) {
    if (WIDE.has(index.resources[resource]!.kind)) continue;
    for (const record of index.usersOf(resource))
      if (record < last && (index.range(record) === null || touches(index, record, ranges)))
        found.add(record);
  }
  // A container's maps name nothing but its descriptor.
  for (const { space } of ranges) {
    if (space === null) continue;
    for (const record of index.usersOf(space))
      if (record < last && touches(index, record, ranges)) found.add(record);
  }
  return [...found];
}

function touches(index: TraceIndex, record: number, ranges: readonly AskedRange[]): boolean {
  const range = index.range(record);
  if (range === null) return false;
  return ranges.some(({ firstPage, lastPage }) => range.firstPage <= lastPage && range.lastPage >= firstPage);
}

/** All but maps and unmaps elsewhere. */
function withoutOtherRanges(
  index: TraceIndex,
  seeds: readonly number[],
  ranges: readonly AskedRange[],
  last: number,
): readonly number[] {
  const wanted = everything(last + 1).filter(
    (record) => index.range(record) === null || touches(index, record, ranges),
  );
  return closureOf(index, [...wanted, ...seeds]);
}

/** All but maps and unmaps of other IOASes. */
function sameSpaces(
  index: TraceIndex,
  seeds: readonly number[],
  ranges: readonly AskedRange[],
  last: number,
): readonly number[] {
  const named = new Set([...ranges.map(({ space }) => space), ...seeds.flatMap((seed) => index.uses(seed))]);
  const wanted = everything(last + 1).filter((record) => {
    const range = index.range(record);
    return range === null || named.has(range.space);
  });
  return closureOf(index, [...wanted, ...seeds]);
}
