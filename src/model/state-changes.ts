import { contextLifecycle } from '../../machines/index.ts';
import type { ReservedRange } from './iova-space.ts';
import { hex, objectLabel, rangeText, reservedText, slotName, stateName } from './object-facts.ts';
import type { PatchedReply } from './patches.ts';
import { describeProposalChanges } from './proposal/changes.ts';
import type { Context, ControlState, Group, KernelObject, Slot, Vevent } from './state.ts';

/** What one call changed of the control state, in words: the Immer patches say where to look. */

/** Counters of the model itself, which nobody outside sees. */
const BOOKKEEPING = new Set([
  'freeHint',
  'constructing',
  'nextItem',
  'listId',
  'handle',
  'handles',
  'firstCookie',
  // Told by the virtual id.
  'virtOffset',
]);
/** Fields whose name in words is not the name itself. */
const FIELD_WORDS: Readonly<Record<string, string>> = {
  domains: 'filled page tables',
  hwpts: 'page tables',
  accesses: 'access objects',
  ioas: 'IOAS',
  fault: 'fault queue',
  tracking: 'dirty tracking',
  iotlb: 'fake IOTLB',
  cache: 'fake cache',
  vdevice: 'vDEVICE',
  viommu: 'vIOMMU of the attachment',
  virtPage: 'virtual id of the attachment',
  failsPasid: 'refusal of the next attachment of PASID 1024',
  hwpt: 'HWPT',
  items: 'pins',
  deliver: 'unread groups of faults',
  responses: 'unanswered groups of faults',
  vdevices: 'vDEVICEs',
  veventqs: 'vEVENTQs',
  hwQueues: 'HW queues',
  events: 'unread events',
  sequence: 'next sequence number',
  vfioIoas: 'IOAS of the VFIO calls',
  fileRefs: 'references to the file',
  accountMode: 'accounting',
};
/** Fields that name an object, where 0 stands for none. */
const REFERENCES = new Set(['ioas', 'fault', 'vdevice', 'viommu', 'hwpt', 'vfioIoas']);
/** Fields of which only the number of entries matters. */
const COUNTED = new Set(['items', 'deliver', 'responses']);
/** What a descriptor points to when no record tells: it is taken, and nobody saw it opened. */
const UNRECORDED = 0;
/** List entries that are spelled out. */
const LISTED = 6;

type Fields = Readonly<Record<string, unknown>>;

/** One sentence for each thing that changed; in the order of contexts, then of ids. */
export function describeChanges(
  before: ControlState,
  after: ControlState,
  patches: PatchedReply['patches'],
): string[] {
  const touched = (at: string): number[] => idsAt(patches, [at]);
  const contexts = new Set([...Object.keys(before.contexts), ...Object.keys(after.contexts)]);
  return [
    ...describeProposalChanges(patches),
    ...touched('processes').flatMap((pid) => changesOfProcess(pid, before, after)),
    ...touched('dmabufs').flatMap((id) =>
      changesOf(`dma-buf behind file ${id}`, before.dmabufs[id], after.dmabufs[id]),
    ),
    ...touched('contexts').flatMap((id) => {
      const changes = changesOfContext(id, before.contexts[id], after.contexts[id], patches);
      // With several contexts an id alone says nothing.
      const named = new RegExp(`^context ${id}\\b`);
      return contexts.size < 2
        ? changes
        : changes.map((change) => (named.test(change) ? change : `context ${id}: ${change}`));
    }),
  ];
}

/** The keys right below a path that any patch touches, ascending. */
function idsAt(patches: PatchedReply['patches'], path: readonly (string | number)[]): number[] {
  const ids = patches
    .filter((patch) => patch.path.length > path.length)
    .filter((patch) => path.every((part, index) => String(patch.path[index]) === String(part)))
    .map((patch) => Number(patch.path[path.length]));
  return [...new Set(ids)].sort((a, b) => a - b);
}

function changesOfProcess(pid: number, before: ControlState, after: ControlState): string[] {
  const process = after.processes[pid];
  if (process === undefined) return [`process ${pid} ended`];
  const known = before.processes[pid];
  const old = known?.descriptors ?? {};
  const fds = [...new Set([...Object.keys(old), ...Object.keys(process.descriptors)])].map(Number);
  const inherited: number[] = [];
  const changes = fds.flatMap((fd) => {
    const had = old[fd];
    const has = process.descriptors[fd];
    if (had === has || (had ?? has) === UNRECORDED) return [];
    if (known === undefined && before.files[has!] !== undefined) {
      inherited.push(fd);
      return [];
    }
    const what = had === undefined ? 'opened' : has === undefined ? 'closed' : 'replaced';
    return `process ${pid}: descriptor ${fd} ${what}${has === undefined ? '' : fileText(after, has)}`;
  });
  if (known !== undefined) return changes;
  const from = inherited.length === 0 ? '' : `, with descriptor ${inherited.join(', ')} of its parent`;
  return [`process ${pid} appeared${from}`, ...changes];
}

/** What an open file is. */
function fileText({ files, contexts }: ControlState, id: number): string {
  const file = files[id];
  if (file === undefined || file.kind === 'other') return '';
  if (file.kind === 'iommufd') return `: context ${file.context}`;
  const object = contexts[file.context]?.objects[file.object];
  return object === undefined ? `: ${file.kind}` : `: ${objectLabel(object)}`;
}

function changesOfContext(
  id: number,
  before: Context | undefined,
  after: Context | undefined,
  patches: PatchedReply['patches'],
): string[] {
  if (before === undefined) return [`context ${id} appeared`];
  if (after === undefined) {
    const count = Object.keys(before.objects).length;
    return [`context ${id} went away${count === 0 ? '' : `, with ${count} object${count === 1 ? '' : 's'}`}`];
  }
  const below = (part: string): number[] => idsAt(patches, ['contexts', id, part]);
  return [
    ...below('objects').flatMap((key) => changesOfObject(before.objects[key], after.objects[key])),
    ...below('groups').flatMap((key) => changesOfGroup(key, before.groups[key], after.groups[key])),
    ...fieldChanges(
      `context ${id}`,
      { ...before },
      { ...after },
      new Set(['objects', 'groups', 'tombstones']),
    ),
    ...below('tombstones').map((key) => `context ${id}: id ${key} stays taken`),
  ];
}

function changesOfObject(before: KernelObject | undefined, after: KernelObject | undefined): string[] {
  if (before === undefined) return after === undefined ? [] : [`${objectLabel(after)} appeared`];
  const label = objectLabel(before);
  if (after === undefined) return [`${label} went away`];
  if (before.type !== after.type) return [`${label} went away`, `${objectLabel(after)} appeared`];
  const state = ({ type, lifecycle }: KernelObject): string =>
    stateName(type, lifecycle) ?? String(lifecycle);
  const moved = before.lifecycle === after.lifecycle ? [] : [`${label}: ${state(before)} -> ${state(after)}`];
  return [...fieldChanges(label, { ...before }, { ...after }, new Set(['lifecycle'])), ...moved];
}

function changesOfGroup(id: number, before: Group | undefined, after: Group | undefined): string[] {
  const label = `group ${id}`;
  if (after === undefined) return [`${label} went away`];
  const pasids = new Set([...Object.keys(before?.slots ?? {}), ...Object.keys(after.slots)]);
  const slots = [...pasids].flatMap((pasid) =>
    changesOfSlot(
      `${label}: ${slotName(Number(pasid))}`,
      before?.slots[Number(pasid)],
      after.slots[Number(pasid)],
    ),
  );
  if (before === undefined) return [`${label} appeared`, ...slots];
  return [...fieldChanges(label, { ...before }, { ...after }, new Set(['slots'])), ...slots];
}

function changesOfSlot(label: string, before: Slot | undefined, after: Slot | undefined): string[] {
  if (before === after) return [];
  if (after === undefined) return [`${label} free again`];
  if (before === undefined) return [`${label} taken by HWPT ${after.hwpt}`];
  return fieldChanges(label, { ...before }, { ...after }, new Set(['lifecycle']));
}

function changesOf(label: string, before: object | undefined, after: object | undefined): string[] {
  if (before === undefined) return [`${label} appeared`];
  if (after === undefined) return [`${label} went away`];
  return fieldChanges(label, { ...before }, { ...after }, new Set());
}

function fieldChanges(label: string, before: Fields, after: Fields, skip: ReadonlySet<string>): string[] {
  return Object.keys(after).flatMap((field) => {
    const [old, now] = [before[field], after[field]];
    if (skip.has(field) || BOOKKEEPING.has(field) || isSame(field, before, after)) return [];
    if (field === 'reserved') return reservations(label, old as ReservedRange[], now as ReservedRange[]);
    if (field === 'lifecycle') return `${label}: ${contextState(old)} -> ${contextState(now)}`;
    // What the mock driver keeps of a device is a record of its own.
    if (field === 'mock') return fieldChanges(label, old as Fields, now as Fields, new Set());
    const [from, to] = [textOf(field, before), textOf(field, after)];
    return `${label}: ${inWords(field)} ${from === to ? 'changed' : `${from} -> ${to}`}`;
  });
}

/** Ranges that came and went, with who asked for them. */
function reservations(
  label: string,
  before: readonly ReservedRange[],
  after: readonly ReservedRange[],
): string[] {
  const [old, now] = [before.map(reservedText), after.map(reservedText)];
  return [
    ...old.filter((text) => !now.includes(text)).map((text) => `${label}: no longer reserves ${text}`),
    ...now.filter((text) => !old.includes(text)).map((text) => `${label}: reserves ${text}`),
  ];
}

/** Objects tell their lifecycle themselves: what is left is that of a context. */
function contextState(state: unknown): string {
  return contextLifecycle.flat.states[Number(state)] ?? String(state);
}

function isSame(field: string, before: Fields, after: Fields): boolean {
  // A virtual id is kept in two fields, and told by one of them.
  if (field === 'virtPage') return textOf(field, before) === textOf(field, after);
  return JSON.stringify(before[field]) === JSON.stringify(after[field]);
}

function textOf(field: string, from: Fields): string {
  const value = from[field];
  if (REFERENCES.has(field) && value === 0) return 'none';
  if (field === 'events') return eventsText(value as readonly Vevent[]);
  if (COUNTED.has(field)) return String(Object.keys(value as object).length);
  if (field === 'virtPage') return hex(Number(value), Number(from['virtOffset']));
  if (field === 'iotlb' || field === 'cache')
    return (value as number[]).map((entry) => hex(0, entry)).join(', ');
  return valueText(value);
}

/** The note of lost events is none itself. */
function eventsText(events: readonly Vevent[]): string {
  const lost = events.filter(({ data }) => data === null).length;
  return `${events.length - lost}${lost > 0 ? ' and lost ones' : ''}`;
}

function inWords(field: string): string {
  return FIELD_WORDS[field] ?? field.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function valueText(value: unknown): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  if (typeof value !== 'object' || value === null) return String(value);
  const entries: readonly unknown[] = Object.values(value);
  if (entries.length === 0) return 'none';
  if (entries.length > LISTED) return `${entries.length} entries`;
  const texts = entries.map(entryText);
  return texts.includes(null)
    ? `${texts.length} ${texts.length === 1 ? 'entry' : 'entries'}`
    : texts.join(', ');
}

function entryText(entry: unknown): string | null {
  if (typeof entry !== 'object' || entry === null) return String(entry);
  if ('startPage' in entry && 'lastPage' in entry) return rangeText(entry as Parameters<typeof rangeText>[0]);
  return null;
}
