import type {
  AccessAnswer,
  CachedSlot,
  DmaDifference,
  Entry,
  FaultRecord,
  Invalidation,
  IotlbProjection,
  IotlbStep,
  PageRequest,
} from '../../replay/index.ts';
import { hex } from './hardware-point.ts';
import type { Session } from './session.ts';
import { renderTable } from './table.ts';

/** Caches of IOMMUs, for people and for programs. */

type Machine = IotlbProjection['state']['kernel']['machine'];

/** Entries that are printed; `--json` has them all. */
const MOST_ENTRIES = 200;

const address = (page: number): string => hex(BigInt(page) << 12n);
const READ = 1;
const WRITE = 2;

function deviceName({ devices }: Machine, index: number | null): string | null {
  if (index === null) return null;
  const device = devices[index];
  return device === undefined ? String(index) : device.bdf === '' ? device.path : device.bdf;
}

/** First address and length in bytes; null for a range that is everything. */
function rangeOf(
  firstPage: number,
  lastPage: number,
): { readonly iova: string; readonly length: string } | null {
  if (firstPage === 0 && lastPage >= 2 ** 52 - 1) return null;
  return { iova: address(firstPage), length: hex(BigInt(lastPage - firstPage + 1) << 12n) };
}

export function jsonOfInvalidation(invalidation: Invalidation, machine: Machine): object {
  const { who, cause, iommu, cache, granularity, tag, pasid, device, certainty, leafOnly } = invalidation;
  const { firstPage, lastPage, changedFirst, changedLast, ofParent } = invalidation;
  const range = rangeOf(firstPage, lastPage);
  const changed = rangeOf(changedFirst, changedLast);
  return {
    who,
    cause,
    iommu,
    cache,
    granularity,
    ...(tag === null ? {} : { tag }),
    ...(pasid === null ? {} : { pasid }),
    ...(device === null ? {} : { device: deviceName(machine, device) }),
    ...(range === null ? {} : range),
    ...(changed === null ? {} : { changed }),
    ...(ofParent ? { ofParent } : {}),
    leafOnly,
    certainty,
  };
}

export function jsonOfEntry(entry: Entry, machine: Machine): object {
  const { cache, iommu, tag, pasid, device, parent, asid, firstPage, lastPage, to, prot, filledAt, stale } =
    entry;
  const frame = to === null || to.frame < 0 ? null : address(to.frame);
  return {
    cache,
    iommu,
    tag,
    pasid,
    device: deviceName(machine, device),
    ...(parent === null ? {} : { parent }),
    ...(asid === null ? {} : { asid }),
    iova: address(firstPage),
    bytes: hex(BigInt(lastPage - firstPage + 1) << 12n),
    physical: frame,
    access: accessText(prot),
    filledAt,
    stale:
      stale === null
        ? null
        : { since: stale.seq, now: stale.now, needed: jsonOfInvalidation(stale.needed, machine) },
  };
}

export function jsonOfAnswer(answer: AccessAnswer, machine: Machine): object {
  const { seq, device, pasid, page, access, outcome, held, filled, walk } = answer;
  return {
    seq,
    device: deviceName(machine, device),
    pasid,
    iova: address(page),
    access,
    outcome,
    walk: walk.outcome,
    held: held.map((entry) => jsonOfEntry(entry, machine)),
    filled: filled.length,
  };
}

export function jsonOfFault({ device, pasid, page, access, fault }: FaultRecord, machine: Machine): object {
  const reason = fault === null ? null : { code: hex(fault.code), name: fault.name };
  return { device: deviceName(machine, device), pasid, iova: address(page), access, fault: reason };
}

/** `device`: object id in the context of the fault queue. */
export function jsonOfPageRequest({ page, bytes, seq, ...request }: PageRequest): object {
  return { seq, ...request, iova: address(page), bytes };
}

/** What a context or PASID cache holds. */
export function jsonOfSlot({ device, pasid, tag, filledAt, stale }: CachedSlot, machine: Machine): object {
  const since = stale === null ? null : { since: stale.seq, now: stale.now, who: stale.who };
  return { device: deviceName(machine, device), pasid, tag, filledAt, stale: since };
}

export function printSlots(session: Session, slots: readonly CachedSlot[], machine: Machine): void {
  for (const { device, pasid, tag, filledAt, stale } of slots) {
    const name = `${deviceName(machine, device)}${pasid === 0 ? '' : ` PASID ${pasid}`}`;
    if (stale === null) session.remark(`entry of ${name}: ${tag ?? 'blocked'}, since call ${filledAt}`);
    else
      session.print(
        `entry of ${name}, ${tag}, is stale since call ${stale.seq}: it names ${stale.now} now; ` +
          `the ${stale.who} would have to invalidate it`,
      );
  }
}

export function jsonOfDifference({ iova, ...rest }: DmaDifference): object {
  return { ...rest, iova: hex(iova) };
}

export function differenceText({ seq, device, iova, field, recorded, ours }: DmaDifference): string {
  return `${seq}  access of ${device} at ${hex(iova)}: ${field} recorded ${recorded}, expected ${ours}`;
}

function accessText(prot: number): string {
  return `${(prot & READ) === 0 ? '-' : 'r'}${(prot & WRITE) === 0 ? '-' : 'w'}`;
}

export function printAnswer(session: Session, answer: AccessAnswer): void {
  const [entry] = answer.held;
  const by = entry === undefined ? '' : `, by an entry of call ${entry.filledAt}`;
  const old = entry?.stale == null ? '' : `, stale since call ${entry.stale.seq}: now ${entry.stale.now}`;
  session.print(`${address(answer.page)} ${answer.access} -> ${answer.outcome}${by}${old}`);
}

export function printIotlb(
  session: Session,
  seq: number,
  entries: readonly Entry[],
  answers: readonly AccessAnswer[],
  machine: Machine,
): void {
  for (const answer of answers) printAnswer(session, answer);
  if (entries.length === 0) {
    session.remark(`no entry is held after call ${seq}`);
    return;
  }
  const rows = entries.slice(0, MOST_ENTRIES).map((entry) => rowOf(entry, machine));
  session.print(renderTable(session, COLUMNS, rows));
  if (entries.length > MOST_ENTRIES) session.print(`… and ${entries.length - MOST_ENTRIES} more`);
  const stale = entries.filter((entry) => entry.stale !== null);
  session.remark(`${entries.length} entries after call ${seq}, ${stale.length} of them stale`);
  for (const entry of stale.slice(0, MOST_ENTRIES)) {
    const { who, cache, granularity, tag } = entry.stale!.needed;
    session.print(
      `${address(entry.firstPage)} is stale since call ${entry.stale!.seq}: ` +
        `a walk gives ${entry.stale!.now}; the ${who} would have to invalidate ${cache} ${granularity} of ${tag ?? 'the device'}`,
    );
  }
}

const COLUMNS = [
  { title: 'cache' },
  { title: 'tag' },
  { title: 'pasid', isNumber: true },
  { title: 'iova' },
  { title: 'bytes' },
  { title: 'physical' },
  { title: 'access' },
  { title: 'device' },
  { title: 'filled at', isNumber: true },
  { title: 'stale since' },
];

function rowOf(entry: Entry, machine: Machine): (string | number)[] {
  const { cache, tag, pasid, firstPage, lastPage, to, prot, device, filledAt, stale } = entry;
  return [
    cache,
    tag,
    pasid,
    address(firstPage),
    hex(BigInt(lastPage - firstPage + 1) << 12n),
    cache === 'walk' ? 'a table' : to === null || to.frame < 0 ? '?' : address(to.frame),
    accessText(prot),
    deviceName(machine, device) ?? '',
    filledAt,
    stale === null ? '' : stale.seq,
  ];
}

export function printStep(session: Session, step: IotlbStep): void {
  const { seq, invalidations, accesses, becameStale, faults, pageRequests, pageResponses } = step;
  for (const invalidation of invalidations) session.print(`${seq}  ${invalidationText(invalidation)}`);
  for (const { page, access, outcome, filled } of accesses) {
    const added = filled.length === 0 ? '' : `, ${filled.length} entries filled`;
    session.print(`${seq}  access ${address(page)} ${access}: ${outcome}${added}`);
  }
  for (const { cache, firstPage, tag, stale } of becameStale)
    session.print(
      `${seq}  stale: ${cache} ${tag} ${address(firstPage)}, a walk gives ${stale?.now ?? 'it again'}`,
    );
  for (const { page, access, fault } of faults)
    session.print(`${seq}  fault ${address(page)} ${access}: ${fault?.name ?? "in the guest's own table"}`);
  for (const difference of step.differences) session.print(differenceText(difference));
  for (const { device, pasid, tag, stale } of step.staleSlots)
    session.print(`${seq}  stale: entry of device ${device} PASID ${pasid}, ${tag}, now ${stale?.now}`);
  for (const { page, group, pasid } of pageRequests)
    session.print(`${seq}  page request ${address(page)}, group ${group}, pasid ${pasid}`);
  for (const { cookie, code, requests } of pageResponses)
    session.print(`${seq}  page response ${code} to cookie ${cookie}: ${requests.length} pages`);
}

function invalidationText(invalidation: Invalidation): string {
  const { who, cause, cache, granularity, tag, pasid, device, firstPage, lastPage } = invalidation;
  const range = rangeOf(firstPage, lastPage);
  const parts = [
    `${who} (${cause}):`,
    cache,
    granularity,
    ...(tag === null ? [] : [tag]),
    ...(device === null ? [] : [`device ${device}`]),
    ...(pasid === null ? [] : [`pasid ${pasid}`]),
    ...(range === null ? [] : [`${range.iova}+${range.length}`]),
    ...(invalidation.leafOnly === true ? ['leaves only'] : []),
    ...(invalidation.certainty === 'sure' ? [] : [`(${invalidation.certainty})`]),
  ];
  return parts.join(' ');
}
