import type { GraphEdge, GraphNode, ObjectGraph } from './object-graph.ts';

/**
 * The graph as a Mermaid flowchart: contexts are boxes around their objects. Source of the notation:
 * mermaid.js.org, "Flowcharts"; text stands in quotes, and what ends a quote is written as an entity.
 */
export function renderGraph(graph: ObjectGraph): string {
  const ids = new Map(graph.nodes.map(({ key }, index) => [key, `n${index}`]));
  const lines = ['flowchart LR'];
  const contexts = graph.nodes.filter(({ kind }) => kind === 'context');
  const inside = (node: GraphNode, context: GraphNode): boolean =>
    node.context === context.context && node.key !== context.key;
  for (const context of contexts) {
    const own = graph.nodes.filter((node) => inside(node, context));
    lines.push(`  ${nodeText(ids, context)}`);
    if (own.length === 0) continue;
    lines.push(`  subgraph s${ids.get(context.key)} ["objects of ${quoted(context.label)}"]`);
    lines.push(...own.map((node) => `    ${nodeText(ids, node)}`), '  end');
  }
  const placed = (node: GraphNode): boolean =>
    node.kind === 'context' || contexts.some((context) => inside(node, context));
  lines.push(...graph.nodes.filter((node) => !placed(node)).map((node) => `  ${nodeText(ids, node)}`));
  lines.push(...graph.edges.map((edge) => `  ${edgeText(ids, edge)}`));
  return `${lines.join('\n')}\n`;
}

function nodeText(
  ids: ReadonlyMap<string, string>,
  { key, label, state, since, areas, areaCount }: GraphNode,
): string {
  const lines = [
    label,
    ...(state === null ? [] : [state]),
    ...(areas === null ? [] : [`${areaCount} ${areaCount === 1 ? 'area' : 'areas'}`]),
    ...(since === null ? [] : [`since call ${since}`]),
  ];
  return `${ids.get(key)}["${lines.map(quoted).join('<br/>')}"]`;
}

function edgeText(ids: ReadonlyMap<string, string>, { from, role, to, since }: GraphEdge): string {
  const text = since === null ? role : `${role}, since call ${since}`;
  return `${ids.get(from)} -->|"${quoted(text)}"| ${ids.get(to)}`;
}

function quoted(text: string): string {
  return text
    .replaceAll('&', '#amp;')
    .replaceAll('"', '#quot;')
    .replaceAll('<', '#lt;')
    .replaceAll('>', '#gt;');
}
