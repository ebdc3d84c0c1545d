import { type Call, type Capture, callToRecord, type ExportSource } from '../../src/trace/index.ts';

/** A capture as exporters read it. */
export function sourceOfCapture(
  { header, calls }: Pick<Capture, 'header' | 'calls'>,
  name = 'test',
): ExportSource {
  return { name, header, calls: () => calls };
}

/** All that an exporter writes. */
export function textOf<T>(work: (write: (text: string) => void) => T): {
  readonly text: string;
  readonly summary: T;
} {
  let text = '';
  const summary = work((more) => {
    text += more;
  });
  return { text, summary };
}

/** A call in one line, where a test does not care how it reads. */
export function describeCall(call: Call): string {
  return JSON.stringify(callToRecord(call)).slice(0, 120);
}
