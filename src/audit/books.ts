import type { AuditRows, TenureRow } from '../../store/index.ts';
import type { PasidCall, PasidEvent } from './event.ts';
import type { Scope, Scopes } from './scopes.ts';

/** What history.ts remembers of PASIDs while it folds, and how that becomes rows. */

/** Who invalidated the caches of a PASID since its last use. */
export type Flush = 'kernel' | 'asked' | 'none';

/** A PASID of one function pointing to one page table. */
export interface Span {
  readonly number: number;
  readonly target: NonNullable<PasidEvent['target']>;
  readonly pid: number;
  readonly fd: number | null;
  readonly fromSeq: number;
  /** The step that began it. */
  readonly by: PasidEvent['what'];
}

/** A PASID that somebody holds. */
export interface Tenure {
  readonly number: number;
  readonly scopes: ReadonlySet<Scope>;
  readonly begin: Omit<TenureRow, 'vpasid' | 'to_seq' | 'to_call' | 'orphan_seq' | `faults_${string}`>;
  readonly event: PasidEvent;
  readonly space: Space;
  vpasid: number | null;
  /** Allocated by a call: it ends with a free, and not with its last attachment alone. */
  isAllocated: boolean;
  orphanSeq: number | null;
  /** What invalidated since the last use; null while it was never put to use. */
  flush: Flush | null;
  faultsReported: number;
  faultsRead: number;
  /** By function. */
  readonly spans: Map<string, Span>;
}

/** How the last holder of a number left it. */
interface Left {
  readonly tenure: number;
  readonly nth: number;
  flush: Flush | null;
}

/** The numbers of one space. */
export interface Space {
  readonly scope: Scope;
  readonly live: Map<number, Tenure>;
  readonly left: Map<number, Left>;
}

/** Everything. */
export interface Books {
  readonly rows: AuditRows;
  readonly scopes: Scopes;
  readonly spaces: Map<Scope, Space>;
  readonly byContext: Map<string, Set<Tenure>>;
  tenures: number;
  attachments: number;
  events: number;
}

/** Ends a span; null where the log ends before it. */
export function closeSpan(books: Books, tenure: Tenure, span: Span, toSeq: number | null): void {
  tenure.spans.delete(span.target.function);
  books.rows.attachment({
    attachment: span.number,
    tenure: tenure.number,
    ...span.target,
    pid: span.pid,
    fd: span.fd,
    from_seq: span.fromSeq,
    to_seq: toSeq,
  });
}

/** Writes a tenure that has ended, or that the log ends in. */
export function writeTenure(books: Books, tenure: Tenure, end: PasidCall | null): void {
  books.rows.tenure({
    ...tenure.begin,
    vpasid: tenure.vpasid,
    to_seq: end?.seq ?? null,
    to_call: end?.name ?? null,
    orphan_seq: tenure.orphanSeq,
    faults_reported: tenure.faultsReported,
    faults_read: tenure.faultsRead,
  });
}

/** Writes an event; `tenure` is null when nobody held the PASID. */
export function writeEvent(books: Books, event: PasidEvent, what: string, tenure: Tenure | null): void {
  const { call, target } = event;
  books.events += 1;
  books.rows.event({
    event: books.events,
    seq: call.seq,
    nth: call.nth,
    pid: call.pid,
    fd: call.fd,
    call: call.name,
    what,
    generation: event.generation,
    scope: books.scopes.find(event.space.kind, event.space.name).number,
    pasid: event.pasid,
    vpasid: event.vpasid ?? null,
    tenure: tenure?.number ?? null,
    context: event.context,
    function: target?.function ?? null,
    device: target?.device ?? null,
    hwpt: target?.hwpt ?? null,
    ioas: target?.ioas ?? null,
    vm: event.vm ?? null,
    reason: event.reason ?? null,
  });
}
