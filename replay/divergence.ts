/** A recorded reply that the model predicts otherwise. */
export interface Divergence {
  readonly seq: number;
  /** Name of the call, e.g. `IOMMU_IOAS_MAP`. */
  readonly call: string;
  /** What differs: `ret`, `errno`, a field of the struct, or `mem[0]`. */
  readonly field: string;
  readonly recorded: string;
  readonly predicted: string;
  /** Why the model refuses, when it does: stable id, the kernel function that checks, and a sentence. */
  readonly reason: string | null;
  readonly source: string | null;
  readonly says: string | null;
}
