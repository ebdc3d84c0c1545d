import type { FactValue } from '../object-facts.ts';
import type { ObjectType } from '../state.ts';

/** What a node of the object graph says, and who is told of nodes and references. */

export type NodeKind =
  | ObjectType
  | 'process'
  | 'context'
  | 'group'
  | 'device-function'
  | 'iommu'
  | 'container'
  | 'dmabuf'
  | 'descriptor'
  | 'vm'
  | 'io-address-space'
  | 'pasid-set'
  | 'pasid';

export interface NodeFacts {
  /** Unique in the graph: see keys.ts. */
  readonly key: string;
  readonly kind: NodeKind;
  /** In words, such as `IOAS 1`. */
  readonly label: string;
  /** State of its lifecycle; null for what has none. */
  readonly state: string | null;
  /** Context that it belongs to; 0 for none. */
  readonly context: number;
  /** Its id there, or a number of its own; 0 for none. */
  readonly id: number;
  readonly facts: Readonly<Record<string, FactValue>>;
  /** The node that a tree shows it under; null for a root. */
  readonly owner: string | null;
}

/**
 * Told of one reference: the node that holds it, what for, and the node it leads to. `pasid` tells an
 * attachment: 0 for the requester id.
 */
export type ReferenceVisitor = (from: string, role: string, to: string, pasid?: number) => void;
export type NodeVisitor = (key: string) => void;
