import { createHash } from 'node:crypto';
import type { LintFinding, LintResult, Rule } from '../audit/index.ts';
import { packageVersion } from './version.ts';

/**
 * Findings as SARIF 2.1.0 (OASIS, sarif-v2.1.0-os). A result points to the capture as its artifact; the call
 * is a logical location, and the causal chain is a code flow. A line of the capture is not claimed: a trace
 * of the store has none.
 */

const SCHEMA = 'https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json';

export function sarifOf(result: LintResult, rules: readonly Rule[], label: string): object {
  const places = new Map(rules.map(({ id }, index) => [id, index]));
  const times = new Map<string, number>();
  return {
    $schema: SCHEMA,
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: 'ioasis',
            semanticVersion: packageVersion(),
            rules: rules.map(descriptorOf),
          },
        },
        columnKind: 'utf16CodeUnits',
        artifacts: [{ location: { uri: uriOf(label) } }],
        invocations: [{ executionSuccessful: true }],
        results: result.findings.map((finding) =>
          resultOf(finding, places.get(finding.id) ?? -1, label, countOf(times, finding)),
        ),
        properties: { profile: result.replay.profile, calls: result.replay.calls },
      },
    ],
  };
}

function descriptorOf({ id, severity, title, doc }: Rule): object {
  return {
    id,
    name: pascal(id),
    shortDescription: { text: `${title}.` },
    fullDescription: { text: `${doc.detects} ${doc.why}` },
    help: { text: doc.fix },
    defaultConfiguration: { level: severity },
  };
}

function resultOf(finding: LintFinding, ruleIndex: number, label: string, occurrence: number): object {
  const { id, severity, seq, message, chain, fix } = finding;
  return {
    ruleId: id,
    ruleIndex,
    level: severity,
    message: { text: message },
    locations: [locationOf(label, seq, null)],
    codeFlows: [
      {
        threadFlows: [
          {
            locations: chain.map((link) => ({
              location: locationOf(label, link.seq, link.says),
              kinds: [link.role],
            })),
          },
        ],
      },
    ],
    partialFingerprints: { 'ioasisFinding/v1': fingerprint(finding, occurrence) },
    properties: { seq, fix },
  };
}

function locationOf(label: string, seq: number, says: string | null): object {
  return {
    physicalLocation: { artifactLocation: { uri: uriOf(label), index: 0 } },
    logicalLocations: [{ name: `call ${seq}`, fullyQualifiedName: `call/${seq}`, kind: 'member' }],
    ...(says === null ? {} : { message: { text: says } }),
  };
}

/** A file name or the name of a trace as a relative URI reference. */
function uriOf(label: string): string {
  return encodeURI(label === '-' ? 'stdin' : label)
    .replaceAll('#', '%23')
    .replaceAll('?', '%3F');
}

/**
 * The same for two recordings of one program: rule, roles of the chain, and the message without its numbers,
 * which are addresses, ids and positions; the n-th of those that look alike.
 */
function fingerprint({ id, chain, message }: LintFinding, occurrence: number): string {
  return createHash('sha256')
    .update(JSON.stringify([id, chain.map(({ role }) => role), shapeOf(message), occurrence]))
    .digest('hex')
    .slice(0, 32);
}

function shapeOf(message: string): string {
  return message.replace(/0x[0-9a-f]+|\d+/g, '#');
}

function countOf(times: Map<string, number>, { id, message }: LintFinding): number {
  const key = `${id} ${shapeOf(message)}`;
  const next = (times.get(key) ?? -1) + 1;
  times.set(key, next);
  return next;
}

/** `unmap-nothing` to `UnmapNothing`, as SARIF wants the name of a rule. */
function pascal(id: string): string {
  return id.replace(/(^|-)([a-z0-9])/g, (_, __, letter: string) => letter.toUpperCase());
}
