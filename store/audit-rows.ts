/** Rows of the PASID history, as docs/audit-sql.md and store/audit-schema.ts describe their columns. */

/** Where PASIDs are counted. */
export interface ScopeRow {
  readonly scope: number;
  readonly kind: 'system' | 'function' | 'set' | 'process';
  readonly name: string;
  readonly is_space: number;
  readonly quota: number | null;
  readonly tenures: number;
  readonly held: number;
  readonly high_water: number;
  readonly high_water_seq: number | null;
  readonly refused: number;
}

/** Who held a PASID from when to when. */
export interface TenureRow {
  readonly tenure: number;
  readonly generation: string;
  readonly scope: number;
  readonly set_scope: number | null;
  readonly pasid: number;
  readonly vpasid: number | null;
  readonly context: number;
  readonly pid: number;
  readonly fd: number | null;
  readonly from_seq: number;
  readonly from_call: string;
  readonly to_seq: number | null;
  readonly to_call: string | null;
  readonly orphan_seq: number | null;
  readonly previous: number | null;
  readonly reuse_calls: number | null;
  readonly reuse_flush: 'kernel' | 'asked' | 'none' | null;
  readonly faults_reported: number;
  readonly faults_read: number;
}

/** A PASID of one function pointing to one page table. */
export interface AttachmentRow {
  readonly attachment: number;
  readonly tenure: number;
  readonly function: string;
  readonly device: number;
  readonly hwpt: number;
  readonly ioas: number;
  readonly pid: number;
  readonly fd: number | null;
  readonly from_seq: number;
  readonly to_seq: number | null;
}

/** One thing that happened to a PASID. */
export interface EventRow {
  readonly event: number;
  readonly seq: number;
  readonly nth: number;
  readonly pid: number;
  readonly fd: number | null;
  readonly call: string;
  readonly what: string;
  readonly generation: string;
  readonly scope: number;
  readonly pasid: number;
  readonly vpasid: number | null;
  readonly tenure: number | null;
  readonly context: number;
  readonly function: string | null;
  readonly device: number | null;
  readonly hwpt: number | null;
  readonly ioas: number | null;
  readonly vm: string | null;
  readonly reason: string | null;
}

/** Takes the rows of a history, in any order. */
export interface AuditRows {
  scope(row: ScopeRow): void;
  tenure(row: TenureRow): void;
  attachment(row: AttachmentRow): void;
  event(row: EventRow): void;
}
