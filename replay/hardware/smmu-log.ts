import type { GuestCommand } from './smmu-guest-commands.ts';

/**
 * What happened to the domains and devices of an SMMU, in the driver's own terms and order. A replay writes it
 * (one entry for each area that a call touches), and `runSmmu` executes it when somebody looks: what a map puts
 * into a table depends on physical pages, which a trace tells only after the call.
 */
export type SmmuOp =
  | { readonly op: 'call'; readonly seq: number }
  /** A group's devices left the kernel's own domains: they are blocked until attached. */
  | { readonly op: 'claim' | 'release'; readonly devices: readonly number[] }
  | { readonly op: 'alloc'; readonly domain: number }
  | { readonly op: 'free'; readonly domain: number }
  | SmmuMap
  | { readonly op: 'unmap'; readonly domain: number; readonly page: number; readonly pageCount: number }
  | { readonly op: 'attach'; readonly device: number; readonly to: SmmuTarget }
  | { readonly op: 'detach'; readonly device: number }
  | { readonly op: 'guest'; readonly domain: number; readonly commands: readonly GuestCommand[] };

/** An area enters a domain. Pages of 4096 bytes. */
export interface SmmuMap {
  readonly op: 'map';
  readonly domain: number;
  readonly page: number;
  readonly pageCount: number;
  readonly prot: number;
  /** Address space (UserMemory) and page in it of the first byte. */
  readonly mm: number;
  readonly userPage: number;
  /** The huge-page option of the IOAS is off: each CPU page is mapped on its own. */
  readonly smallOnly: boolean;
}

export type SmmuTarget =
  | { readonly kind: 'paging'; readonly domain: number }
  | { readonly kind: 'nested'; readonly domain: number; readonly data: Uint8Array };

/** A paging domain of the log. */
export interface SmmuDomainFacts {
  readonly key: number;
  readonly stage: 1 | 2;
  readonly nestParent: boolean;
  readonly tracksDirty: boolean;
  /** `pgsize_bitmap`. */
  readonly pageSizes: bigint;
  /** Inclusive last page of the aperture. */
  readonly apertureLastPage: number;
}

export interface SmmuLog {
  readonly ops: SmmuOp[];
  readonly domains: Map<number, SmmuDomainFacts>;
  /** Physical stream ids that vDEVICEs of a nest parent's vIOMMUs stand for are looked up when a command comes. */
  readonly streams: readonly SmmuStreamFacts[];
}

/** One device behind the SMMU. */
export interface SmmuStreamFacts {
  /** Index in the machine's devices. */
  readonly device: number;
  readonly bdf: string;
  readonly streamId: number;
  readonly substreamBits: number;
  readonly ats: boolean | null;
}

/** Requester id of a PCI address, which firmware gives as the stream id unless it says otherwise. */
export function streamIdOf(bdf: string): number {
  const [, bus = '0', slot = '0', fn = '0'] = /([0-9a-f]+):([0-9a-f]+)\.([0-7])$/i.exec(bdf) ?? [];
  return (Number.parseInt(bus, 16) << 8) | (Number.parseInt(slot, 16) << 3) | Number.parseInt(fn, 16);
}
