import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { type BundleVerification, createBundleVerifier, isBundle } from '../../store/index.ts';
import { fileError, UsageError } from './errors.ts';

/**
 * Bundles as files. The last line of a signed one is an Ed25519 signature over the SHA-256 of all bytes
 * before it; the same bundle and key always give the same signature.
 */

const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 0x0a;
const SIGNATURE_START = '{"signature":"ed25519"';
/** Beyond any line that an export writes: a file of one endless line is no bundle. */
const LINE_BYTES_MAX = 256 * 1024 * 1024;

/** Who signed a bundle. */
export interface BundleSignature {
  /** SHA-256 of the public key, in hex. */
  readonly fingerprint: string;
  readonly isValid: boolean;
  /** Whether it is the key that was asked for; null when none was. */
  readonly isExpected: boolean | null;
}

/** What checking a bundle file found. */
export interface VerifiedBundle {
  readonly result: BundleVerification;
  /** Null when nobody signed. */
  readonly signature: BundleSignature | null;
}

/** Says whether a file is a bundle. A file that cannot be read is none. */
export function isBundleFile(path: string): boolean {
  try {
    for (const chunk of chunksOf(path)) return isBundle(chunk.toString('latin1', 0, 100));
  } catch {
    // Whoever opens it next says what is wrong.
  }
  return false;
}

/** Checks a bundle file. @throws UsageError when it cannot be read */
export function verifyBundleFile(path: string, expectedKey: KeyObject | null): VerifiedBundle {
  const verifier = createBundleVerifier();
  const hash = createHash('sha256');
  let signature: BundleSignature | null = null;
  try {
    for (const bytes of linesOf(path)) {
      const line = bytes.toString();
      if (signature === null && line.startsWith(SIGNATURE_START)) {
        signature = checkSignature(line, hash.copy().digest(), expectedKey);
        continue;
      }
      hash.update(bytes).update('\n');
      verifier.add(line);
    }
  } catch (error) {
    throw fileError(path, error);
  }
  return { result: verifier.end(), signature };
}

function checkSignature(line: string, digest: Buffer, expected: KeyObject | null): BundleSignature {
  try {
    const { key: der, value } = JSON.parse(line) as { readonly key: string; readonly value: string };
    const key = createPublicKey({ key: Buffer.from(der, 'base64'), format: 'der', type: 'spki' });
    return {
      fingerprint: fingerprintOf(key),
      isValid: verify(null, digest, key, Buffer.from(value, 'base64')),
      isExpected: expected === null ? null : fingerprintOf(expected) === fingerprintOf(key),
    };
  } catch {
    return { fingerprint: '', isValid: false, isExpected: expected === null ? null : false };
  }
}

/** The line that signs what was hashed. */
export function signatureLine(digest: Buffer, key: KeyObject): string {
  const der = derOf(createPublicKey(key)).toString('base64');
  return `${SIGNATURE_START},"key":"${der}","value":"${sign(null, digest, key).toString('base64')}"}`;
}

/** Reads a private key to sign with. @throws UsageError */
export function readSigningKey(path: string): KeyObject {
  return readKey(path, createPrivateKey);
}

/** Reads a public key (or the public half of a private one). @throws UsageError */
export function readPublicKey(path: string): KeyObject {
  return readKey(path, createPublicKey);
}

function readKey(path: string, make: (pem: string) => KeyObject): KeyObject {
  let pem: string;
  try {
    pem = readFileSync(path, 'utf8');
  } catch (error) {
    throw fileError(path, error);
  }
  let key: KeyObject | null = null;
  try {
    key = make(pem);
  } catch {
    // What OpenSSL says of a bad key helps nobody.
  }
  if (key?.asymmetricKeyType !== 'ed25519') throw new UsageError(`${path}: is no Ed25519 key in PEM`);
  return key;
}

/** SHA-256 of a public key, in hex. */
export function fingerprintOf(key: KeyObject): string {
  return createHash('sha256')
    .update(derOf(key.type === 'private' ? createPublicKey(key) : key))
    .digest('hex');
}

function derOf(key: KeyObject): Buffer {
  return key.export({ format: 'der', type: 'spki' });
}

/** The lines of a file as bytes, without their newlines. */
function* linesOf(path: string): Generator<Buffer> {
  let rest: Buffer[] = [];
  let restBytes = 0;
  for (const chunk of chunksOf(path)) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      yield Buffer.concat([...rest, chunk.subarray(start, end)]);
      rest = [];
      restBytes = 0;
      start = end + 1;
    }
    rest.push(chunk.subarray(start));
    restBytes += chunk.length - start;
    if (restBytes > LINE_BYTES_MAX) throw new UsageError(`${path}: a line is too long for a bundle`);
  }
  if (restBytes > 0) yield Buffer.concat(rest);
}

function* chunksOf(path: string): Generator<Buffer> {
  const fd = openSync(path, 'r');
  try {
    for (;;) {
      const chunk = Buffer.alloc(CHUNK_BYTES);
      const length = readSync(fd, chunk);
      if (length === 0) return;
      yield chunk.subarray(0, length);
    }
  } finally {
    closeSync(fd);
  }
}
