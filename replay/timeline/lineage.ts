import {
  type Kernel,
  objectKey,
  visitNodes,
  visitReferences,
  visitReferencesOf,
} from '../../src/model/index.ts';

/** Since which call each node of the object graph is there, and each reference. */
export interface Lineage {
  nodes: Map<string, number>;
  /** By the node that holds them, then by `edgeKey`. */
  edges: Map<string, Map<string, number>>;
}

export function createLineage(): Lineage {
  return { nodes: new Map(), edges: new Map() };
}

export function edgeKey(role: string, to: string): string {
  return `${role}|${to}`;
}

/**
 * Looks through the whole graph: what was not there before is since `seq`. `gone`: nodes that went away since
 * the last look, which may be there again under the same name.
 */
export function followGraph(lineage: Lineage, kernel: Kernel, seq: number, gone: ReadonlySet<string>): void {
  const nodes = new Map<string, number>();
  const edges: Lineage['edges'] = new Map();
  const { nodes: oldNodes, edges: oldEdges } = lineage;
  visitNodes(kernel, (key) => {
    nodes.set(key, gone.has(key) ? seq : (oldNodes.get(key) ?? seq));
  });
  let lastFrom = '';
  let old: Map<string, number> | undefined;
  let own: Map<string, number> | undefined;
  visitReferences(kernel, (from, role, to) => {
    if (from !== lastFrom || own === undefined) {
      lastFrom = from;
      old = oldEdges.get(from);
      own = edges.get(from);
      if (own === undefined) {
        own = new Map();
        edges.set(from, own);
      }
    }
    const key = edgeKey(role, to);
    const isNew = gone.size > 0 && (gone.has(from) || gone.has(to));
    own.set(key, isNew ? seq : (old?.get(key) ?? seq));
  });
  lineage.nodes = nodes;
  lineage.edges = edges;
}

/** The same where only this object can have changed, and nothing that it refers to came anew. */
export function followObject(
  { nodes, edges }: Lineage,
  kernel: Kernel,
  seq: number,
  contextId: number,
  id: number,
): void {
  const key = objectKey(contextId, id);
  const context = kernel.state.contexts[contextId];
  const object = context?.objects[id];
  if (context === undefined || object === undefined) {
    nodes.delete(key);
    edges.delete(key);
    return;
  }
  if (!nodes.has(key)) nodes.set(key, seq);
  const old = edges.get(key);
  const own = new Map<string, number>();
  visitReferencesOf(kernel, context, object, (_from, role, to) => {
    const edge = edgeKey(role, to);
    own.set(edge, old?.get(edge) ?? seq);
  });
  if (own.size > 0) edges.set(key, own);
  else edges.delete(key);
}
