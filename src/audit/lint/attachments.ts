import { callName } from '../../../replay/index.ts';
import type { ChainLink } from './finding.ts';
import type { LintCall } from './lint-call.ts';
import { slotName } from './text.ts';

/** A device in a slot (its RID, or a PASID), or that it was there. */
export interface Attachment {
  readonly context: number;
  readonly device: number;
  readonly pasid: number;
  readonly hwpt: number;
  /** The attach or replace that put it there. */
  readonly seq: number;
  readonly by: string;
  /** Null while it is attached. */
  endSeq: number | null;
  endBy: string;
  /** What held the slot before, of which no earlier one is kept. */
  before: Attachment | null;
}

/** Who is attached where, since which call, and the attachment before. */
export interface Attachments {
  attached(call: LintCall, context: number, device: number, hwpt: number, pasid: number): void;
  detached(call: LintCall, context: number, device: number, pasid: number): void;
  /** The object is gone: the next one with this id starts without a past. */
  forget(context: number, device: number): void;
  /** The attachment of a slot, or the last one there was. */
  find(context: number, device: number, pasid: number): Attachment | undefined;
  /** Whether the device was ever in a slot. */
  wasAttached(context: number, device: number): boolean;
  /** Live attachments of a device, by PASID. */
  of(context: number, device: number): readonly Attachment[];
}

export function createAttachments(): Attachments {
  const devices = new Map<string, Map<number, Attachment>>();
  const slotsOf = (context: number, device: number): Map<number, Attachment> => {
    const key = `${context} ${device}`;
    const known = devices.get(key);
    if (known !== undefined) return known;
    const made = new Map<number, Attachment>();
    devices.set(key, made);
    return made;
  };
  return {
    attached({ seq, record }, context, device, hwpt, pasid) {
      const by = callName(record);
      const slots = slotsOf(context, device);
      const before = slots.get(pasid) ?? null;
      if (before !== null) before.before = null;
      slots.set(pasid, { context, device, pasid, hwpt, seq, by, endSeq: null, endBy: '', before });
    },
    detached({ seq, record, isOver }, context, device, pasid) {
      const held = slotsOf(context, device).get(pasid);
      if (held === undefined) return;
      held.endSeq = seq;
      held.endBy = isOver ? 'exit' : callName(record);
    },
    forget: (context, device) => void devices.delete(`${context} ${device}`),
    find: (context, device, pasid) => devices.get(`${context} ${device}`)?.get(pasid),
    wasAttached: (context, device) => (devices.get(`${context} ${device}`)?.size ?? 0) > 0,
    of: (context, device) =>
      [...(devices.get(`${context} ${device}`)?.values() ?? [])]
        .filter(({ endSeq }) => endSeq === null)
        .sort((a, b) => a.pasid - b.pasid),
  };
}

export function attachedLink({ seq, by, device, pasid, hwpt }: Attachment): ChainLink {
  return { seq, role: 'attached', says: `${by} puts device ${device}, ${slotName(pasid)}, on HWPT ${hwpt}` };
}

export function detachedLinks({ endSeq, endBy, device, pasid }: Attachment): ChainLink[] {
  if (endSeq === null) return [];
  return [{ seq: endSeq, role: 'detached', says: `${endBy} takes device ${device} off, ${slotName(pasid)}` }];
}
