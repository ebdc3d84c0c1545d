import { objectLabel, rangeText, slotName, stateName } from './object-facts.ts';
import type { PatchedReply } from './patches.ts';
import type { Context, ControlState, Group, KernelObject, Process, Slot } from './state.ts';

/** What one call changed of the control state, in words: the Immer patches say where to look. */

/** Counters of the model itself, which nobody outside sees. */
const BOOKKEEPING = new Set(['freeHint', 'constructing', 'nextItem', 'listId', 'handle', 'handles']);
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
  return [
    ...touched('processes').flatMap((pid) =>
      changesOfProcess(pid, before.processes[pid], after.processes[pid]),
    ),
    ...touched('dmabufs').flatMap((id) =>
      changesOf(`dma-buf behind file ${id}`, before.dmabufs[id], after.dmabufs[id]),
    ),
    ...touched('contexts').flatMap((id) =>
      changesOfContext(id, before.contexts[id], after.contexts[id], patches),
    ),
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

function changesOfProcess(pid: number, before: Process | undefined, after: Process | undefined): string[] {
  if (after === undefined) return [`process ${pid} ended`];
  const old = before?.descriptors ?? {};
  const fds = [...new Set([...Object.keys(old), ...Object.keys(after.descriptors)])];
  const changes = fds.flatMap((fd) => {
    const had = old[Number(fd)];
    const has = after.descriptors[Number(fd)];
    if (had === has) return [];
    const what = had === undefined ? 'opened' : has === undefined ? 'closed' : 'replaced';
    return `process ${pid}: descriptor ${fd} ${what}`;
  });
  return before === undefined ? [`process ${pid} appeared`, ...changes] : changes;
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
    if (skip.has(field) || BOOKKEEPING.has(field) || JSON.stringify(old) === JSON.stringify(now)) return [];
    // What the mock driver keeps of a device is a record of its own.
    if (field === 'mock') return fieldChanges(label, old as Fields, now as Fields, new Set());
    const [from, to] = [valueText(old), valueText(now)];
    return `${label}: ${inWords(field)} ${from === to ? 'changed' : `${from} -> ${to}`}`;
  });
}

function inWords(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
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
