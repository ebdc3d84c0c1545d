import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { replayTrace } from '../../../replay/index.ts';
import { exportCapture, parseCapture } from '../../../src/trace/index.ts';
import { everyTrace } from '../../support/every-call.ts';
import { sourceOfCapture, textOf } from '../../support/export-source.ts';
import { readFixture } from '../../support/fixtures.ts';
import { withStored } from '../../support/stored.ts';

const FIXTURES = join(import.meta.dirname, '../../fixtures');
/** Every so many of the 597 traces: the round trip of lines is tested for all of them elsewhere. */
const EACH = 17;

describe('a trace that is exported as a capture and imported again', () => {
  const traces = everyTrace().filter((_, index) => index % EACH === 0);

  test('is the same log, and replays to the same digest', () => {
    expect(traces.length).toBeGreaterThan(30);
    for (const { folder, name } of traces) {
      const first = readFixture(name, join(FIXTURES, folder));
      const exported = withStored(first, (store, id) => {
        const { header } = store.findTrace(id)!;
        const source = { name, header, calls: () => store.readCallsExact(id) };
        const { text, summary } = textOf((write) => exportCapture(source, write));
        expect(summary).toEqual({ written: first.calls.length, leftOut: {} });
        return { text, chain: store.findTrace(id)!.chainHead, digest: replayTrace(store, id).digest };
      });
      const again = withStored(parseCapture(exported.text, name), (store, id) => ({
        chain: store.findTrace(id)!.chainHead,
        digest: replayTrace(store, id).digest,
      }));
      // The newest hash of the chain stands for every byte of header and calls.
      expect(again, `${folder}/${name}`).toEqual({ chain: exported.chain, digest: exported.digest });
    }
  });

  test('differs as soon as one byte does', () => {
    const first = readFixture('iommufd_mock_domain.two_domains.basic');
    const { text } = textOf((write) => exportCapture(sourceOfCapture(first), write));
    const changed = text.replace('"cmd":"0x3b81"', '"cmd":"0x3b82"');
    expect(changed).not.toBe(text);
    const chainOf = (capture: string): string =>
      withStored(parseCapture(capture, 'x'), (store, id) => store.findTrace(id)!.chainHead);
    expect(chainOf(changed)).not.toBe(chainOf(text));
  });
});
