import { type CoreChange, type Ioasid, type IoasidCore, SYSTEM } from '../ioasid/index.ts';
import type { Kernel } from '../kernel.ts';
import type { PasidChange, PasidChangeKind, PasidChangeTarget } from '../pasid-change.ts';
import type { Reason } from '../reason.ts';
import type { Attachment, Ioas, ProposalFile, ProposalState } from './state.ts';

/** Tells what a call did to PASIDs, in the words that every generation has in common. */

/** Of a call, what it takes to tell. */
interface Teller {
  readonly kernel: Kernel;
  readonly state: ProposalState;
}

/** What the core did to a number, for the descriptor `context`. */
export function tellOfCore(
  { kernel, state }: Teller,
  context: number,
  what: Parameters<CoreChange>[0],
  ioasid: Ioasid,
  { device, process, flushes, vpasid, reason }: NonNullable<Parameters<CoreChange>[2]> = {},
): void {
  const { id, scope, set, spid } = ioasid;
  kernel.effects.pasidChanged({
    what,
    scope,
    scopeQuota: quotaOf(state.core, scope),
    pasid: id,
    vpasid: vpasid ?? spid,
    context,
    ...setOf(state.core, set, context),
    process: process ?? null,
    target: device === undefined ? null : { device, file: 0, ioas: 0 },
    flushes: flushes === true,
    reason: reason ?? null,
  });
}

/** The numbers of the system but the one of requests without a PASID; a function's are not counted. */
function quotaOf(core: IoasidCore, scope: string): number | null {
  return scope === SYSTEM ? core.capacity - 1 : null;
}

/**
 * A set by a name that outlives it: a set dies with its last number, and the descriptor or process makes a
 * new one for its next.
 */
export function setOf(core: IoasidCore, id: number, context: number): Pick<PasidChange, 'set' | 'setQuota'> {
  const set = core.sets[id];
  if (set === undefined) return { set: null, setQuota: null };
  const name =
    set.type === 'mm' ? `process ${set.token}` : context > 0 ? `descriptor ${context}` : `set ${id}`;
  return { set: name, setQuota: set.quota };
}

/** A request for a number that was refused: none of them is known but a number that was asked for. */
export function tellRefused(
  { kernel, state }: Teller,
  refused: {
    readonly scope: string;
    readonly pasid: number;
    readonly vpasid?: number;
    readonly context: number;
    readonly set: number;
    readonly target?: PasidChangeTarget;
  },
  { id }: Reason,
): void {
  const { set, ...rest } = refused;
  const scopeQuota = quotaOf(state.core, refused.scope);
  const named = setOf(state.core, set, refused.context);
  kernel.effects.pasidChanged({ what: 'refuse', ...rest, ...named, scopeQuota, reason: id });
}

/** Space that an attachment's number is unique in: its table's where the guest writes that itself. */
export const scopeOfAttachment = ({ scope, slot }: Attachment): string =>
  scope === '' ? `function ${slot.split('/')[0]!}` : scope;

/** The number of an attachment on the wire; null for requests without one. */
export const wirePasid = ({ host, guest }: Pick<Attachment, 'host' | 'guest'>): number | null =>
  host ?? guest;

/** The open of a device; 0 where it is closed. */
export function fileOf({ files }: ProposalState, device: string): number {
  for (const id in files) {
    const file = files[id]!;
    if (file.kind === 'device' && file.device === device) return file.id;
  }
  return 0;
}

/** Something happened to the PASID of an attachment, if requests of it have one. */
export function tellOfAttachment(
  { kernel, state }: Teller,
  what: PasidChangeKind,
  iommu: ProposalFile,
  ioas: Ioas,
  attachment: Attachment,
  more: Pick<PasidChange, 'vm' | 'reason' | 'vpasid' | 'flushes'> = {},
  file = 0,
): void {
  const pasid = wirePasid(attachment);
  if (pasid === null) return;
  const { device, guest } = attachment;
  kernel.effects.pasidChanged({
    what,
    scope: scopeOfAttachment(attachment),
    pasid,
    vpasid: guest,
    context: iommu.id,
    target: { device, file: file || fileOf(state, device), ioas: ioas.id },
    ...more,
  });
}
