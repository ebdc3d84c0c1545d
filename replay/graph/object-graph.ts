import {
  type AreaFacts,
  containerKey,
  describeNodes,
  type IovaSpace,
  type Kernel,
  listAreas,
  type NodeFacts,
  objectKey,
  visitReferences,
} from '../../src/model/index.ts';

/** What knows since which call things are as they are. */
export interface Since {
  /** The call that made a node; null when nobody looked. */
  node(key: string): number | null;
  edge(from: string, role: string, to: string): number | null;
  /** The call that mapped the area in that slot of a space. */
  area(space: IovaSpace, slot: number): number | null;
}

/** Nobody has followed the calls. */
export const NOBODY_KNOWS: Since = { node: () => null, edge: () => null, area: () => null };

/** An area and the call that mapped it. */
export interface GraphArea extends AreaFacts {
  readonly since: number | null;
}

/** A node, and the areas of one that has any. */
export interface GraphNode extends NodeFacts {
  /** Number of the call that made it. */
  readonly since: number | null;
  /** Of an IOAS or a classic container: the first areas; null for every other node. */
  readonly areas: readonly GraphArea[] | null;
  /** All areas; 0 for a node without any. */
  readonly areaCount: number;
}

/** One node refers to another. */
export interface GraphEdge {
  readonly from: string;
  /** What for: a verb that reads from the one to the other, such as `attached by RID to`. */
  readonly role: string;
  readonly to: string;
  /** Of an attachment: 0 for the requester id; null otherwise. */
  readonly pasid: number | null;
  /** Number of the call since which it does. */
  readonly since: number | null;
}

/** Everything that lives after a call, and who refers to whom; nodes and edges in the order of ids. */
export interface ObjectGraph {
  readonly seq: number;
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
}

export interface GraphOptions {
  /** Areas of a space to list; 32 by default. */
  readonly mostAreas?: number;
  readonly since?: Since;
}

const AREAS_LISTED = 32;

/** The object graph of a kernel; `seq` is the last call that it has seen. */
export function objectGraph(kernel: Kernel, seq: number, options: GraphOptions = {}): ObjectGraph {
  const { mostAreas = AREAS_LISTED, since = NOBODY_KNOWS } = options;
  const spaces = spacesByNode(kernel);
  const nodes = new Map<string, GraphNode>();
  for (const facts of describeNodes(kernel)) {
    if (nodes.has(facts.key)) continue;
    const space = spaces.get(facts.key);
    nodes.set(facts.key, {
      ...facts,
      since: since.node(facts.key),
      areas: space === undefined ? null : areasOf(kernel, space, mostAreas, since),
      areaCount: space?.areas.count ?? 0,
    });
  }
  const edges: GraphEdge[] = [];
  visitReferences(kernel, (from, role, to, pasid) => {
    edges.push({ from, role, to, pasid: pasid ?? null, since: since.edge(from, role, to) });
  });
  return { seq, nodes: [...nodes.values()], edges };
}

function areasOf(kernel: Kernel, space: IovaSpace, most: number, since: Since): GraphArea[] {
  return listAreas(kernel, space, most).map((area) => ({ ...area, since: since.area(space, area.slot) }));
}

/** IOVA spaces by the node that they belong to. */
export function spacesByNode({ state, spaces }: Kernel): Map<string, IovaSpace> {
  const found = new Map<string, IovaSpace>();
  for (const context of Object.values(state.contexts)) {
    for (const object of Object.values(context.objects)) {
      const space = object.type === 'ioas' ? spaces.get(object.space) : undefined;
      if (space !== undefined) found.set(objectKey(context.id, object.id), space);
    }
  }
  for (const [key, { iommu }] of Object.entries(state.vfio.containers)) {
    const space = iommu === null ? undefined : spaces.get(iommu.space);
    if (space !== undefined) found.set(containerKey(Number(key)), space);
  }
  return found;
}

/**
 * The part of a graph around an object: itself, what refers to it, and what it refers to, directly or by way
 * of others. Null when it has no node `key`.
 */
export function graphAround(graph: ObjectGraph, keys: ReadonlySet<string>): ObjectGraph {
  const kept = new Set(keys);
  for (const along of [edgeForward, edgeBackward]) {
    const seen = new Set(keys);
    const queue = [...keys];
    for (let key = queue.pop(); key !== undefined; key = queue.pop()) {
      for (const edge of graph.edges) {
        const next = along(edge, key);
        if (next === null || seen.has(next)) continue;
        seen.add(next);
        queue.push(next);
      }
    }
    for (const key of seen) kept.add(key);
  }
  return {
    seq: graph.seq,
    nodes: graph.nodes.filter(({ key }) => kept.has(key)),
    edges: graph.edges.filter(({ from, to }) => kept.has(from) && kept.has(to)),
  };
}

function edgeForward({ from, to }: GraphEdge, key: string): string | null {
  return from === key ? to : null;
}

function edgeBackward({ from, to }: GraphEdge, key: string): string | null {
  return to === key ? from : null;
}
