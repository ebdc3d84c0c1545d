/** Public entry of the object graph at a point of a trace. */
export { renderGraph } from './graph-mermaid.ts';
export {
  type GraphArea,
  type GraphEdge,
  type GraphNode,
  type GraphOptions,
  graphAround,
  type ObjectGraph,
  objectGraph,
  type Since,
  spacesByNode,
} from './object-graph.ts';
