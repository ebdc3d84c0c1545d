import type { PagingDomain } from '../../src/model/index.ts';
import type { DirtySync } from './dirty-sync.ts';
import type { GuestCommand } from './smmu-guest-commands.ts';
import type { FormatFacts } from './table-format.ts';

/**
 * What happened to the domains and devices of IOMMUs, in the drivers' own terms and order. A replay writes
 * it, and `runSmmu` or an IOTLB executes it: which page sizes a map gets, and so what an unmap invalidates,
 * depends on physical pages, which a trace may tell only after the call.
 */
export type DriverOp = { readonly seq: number } & (
  | { readonly op: 'claim' | 'release'; readonly devices: readonly number[] }
  | { readonly op: 'alloc' | 'free'; readonly domain: number }
  /** `vfio_test_domain_fgsp`: two pages are mapped, then unmapped one by one as far as the driver can. */
  | { readonly op: 'probe'; readonly domain: number; readonly page: number }
  /** Steps of the domain's history, up to this many. */
  | { readonly op: 'steps'; readonly domain: number; readonly end: number; silent: boolean }
  | {
      readonly op: 'attach';
      readonly devices: readonly number[];
      readonly pasid: number;
      readonly to: DriverTarget;
    }
  | { readonly op: 'detach'; readonly devices: readonly number[]; readonly pasid: number }
  /** A guest's commands to an SMMUv3's vIOMMU. */
  | {
      readonly op: 'guest';
      readonly domain: number;
      readonly commands: readonly GuestCommand[];
      /** Device of each virtual stream id. */
      readonly streams: ReadonlyMap<number, number>;
    }
  /** Ranges of a guest's first-stage table on VT-d. */
  | { readonly op: 'invalidate'; readonly nested: string; readonly ranges: readonly GuestRange[] }
  | { readonly op: 'tracking'; readonly domain: number; readonly on: boolean }
  | DirtySync
);

export type DriverTarget =
  | { readonly kind: 'paging'; readonly domain: number }
  | {
      readonly kind: 'nested';
      /** Its nest parent. */
      readonly domain: number;
      /** Names the nested HWPT: see `nestedName`. */
      readonly nested: string;
      readonly data: Uint8Array;
    };

/** Name of a nested HWPT, for as long as it lives. */
export function nestedName(context: number, hwpt: number): string {
  return `${context}:${hwpt}`;
}

/** A paging domain, from `PagingDomain`. */
export interface LogDomain {
  readonly key: number;
  /** Name of the IOMMU that it was made for. */
  readonly iommu: string;
  readonly stage: 1 | 2;
  readonly nestParent: boolean;
  readonly tracksDirty: boolean;
  readonly pageSizes: bigint;
  /** Inclusive last page of the aperture. */
  readonly apertureLastPage: number;
}

export interface DriverLog {
  /** Name of the IOMMU in the topology; null for all of them. */
  readonly iommu: string | null;
  readonly ops: DriverOp[];
  readonly domains: Map<number, LogDomain>;
  /** What the format of a domain's table follows from, by key. */
  readonly formats: Map<number, FormatFacts>;
}

/** Facts of a domain that an executor of the log needs. */
export function logDomain(
  { key, iommu, format, dirtyOps, pageSizes, aperture }: Omit<PagingDomain, 'driver' | 'needsProt'>,
  nestParent: boolean,
): LogDomain {
  return {
    key,
    iommu,
    stage: format === 'smmu-s2' ? 2 : 1,
    nestParent,
    tracksDirty: dirtyOps,
    pageSizes: BigInt(pageSizes),
    apertureLastPage: aperture.lastPage,
  };
}

/** Whether a log tells of an IOMMU; the mock one has no name. */
export function isOfLog(log: DriverLog, iommu: string): boolean {
  return log.iommu === null ? iommu !== '' : log.iommu === iommu;
}

/** Bytes of a guest's address space that user space says have changed: iommu_hwpt_vtd_s1_invalidate. */
export interface GuestRange {
  /** First page; with `pages` null it is 0, and everything is meant. */
  readonly page: number;
  readonly pages: number | null;
  /** Only leaves changed. */
  readonly leaf: boolean;
}
