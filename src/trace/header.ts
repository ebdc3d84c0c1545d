import type { JsonValue } from './call.ts';

/** One IOMMU instance of the recorded machine. */
export interface IommuInstance {
  readonly name: string;
  readonly pgsizeBitmap: bigint | null;
  /** First and last usable IOVA, both inclusive. */
  readonly aperture: readonly [bigint, bigint] | null;
  readonly raw: Readonly<Record<string, JsonValue>>;
}

/** One device of the recorded machine; `raw` keeps every recorded key. */
export interface TopologyDevice {
  readonly path: string | null;
  readonly bdf: string | null;
  readonly group: number | null;
  readonly instance: string | null;
  readonly raw: Readonly<Record<string, JsonValue>>;
}

/** Hardware facts that the kernel's answers depend on. */
export interface Topology {
  /** `mock`, `vtd`, `amd`, `smmuv3`, `riscv` …; null when unknown. */
  readonly iommu: string | null;
  readonly instances: readonly IommuInstance[];
  readonly devices: readonly TopologyDevice[];
}

/** First line of a capture. Every key is optional there; `raw` is the line as recorded. */
export interface TraceHeader {
  /** Kernel release as recorded ("6.12.117"); null when the capture has no header or does not say. */
  readonly kernel: string | null;
  readonly arch: string | null;
  /** Bytes per CPU page; 4096 when not recorded. */
  readonly pageSizeBytes: number;
  readonly producer: string | null;
  readonly quirks: readonly string[];
  readonly topology: Topology;
  readonly raw: Readonly<Record<string, JsonValue>> | null;
}
