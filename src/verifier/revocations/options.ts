import type { Clock } from '../../core/clock.ts'
import type { FieldProblem } from '../../core/errors.ts'
import type { KeySource } from '../keys/key-source.ts'
import type { IssuerOptions } from '../options.ts'
import { isRequestScoped } from '../runtime.ts'
import { isWebAddress } from '../web-address.ts'
import { RevocationFollower } from './feed-follower.ts'
import type { Revocations } from './revocation-list.ts'

/** How the revocations of an issuer are followed. */
export interface RevocationOptions {
  /** Where the snapshot is, if not at `/revocations` of the issuer; the stream is at `/stream` below. */
  readonly uri?: string
  /** Whether to follow the stream; false polls alone. Default true. */
  readonly stream?: boolean
  /** How often the snapshot is polled while there is no stream, 1 to 3600 s. Default 5. */
  readonly pollInterval_s?: number
  /** After how much silence a stream is given up, 1 to 300 s; an issuer is heard every 5. Default 12. */
  readonly streamSilence_s?: number
  /**
   * How many sessions and users are kept apart, 100 to 5,000,000. When there are more, the oldest
   * become one rule: all tokens signed until then are refused. Default 200,000, some 20 MB when full.
   */
  readonly entriesMax?: number
  /**
   * A use that does not say otherwise (`failClosed`) refuses tokens when nothing was heard for longer
   * than this, 10 to 86,400 s. By default it accepts what is not known to be revoked.
   */
  readonly maxStaleness_s?: number
}

const numbers = {
  pollInterval_s: { min: 1, max: 3600, byDefault: 5 },
  streamSilence_s: { min: 1, max: 300, byDefault: 12 },
  entriesMax: { min: 100, max: 5_000_000, byDefault: 200_000 },
  // Even a stream that is well says so every 5 s only.
  maxStaleness_s: { min: 10, max: 86_400 },
} as const

const names = new Set(['uri', 'stream', ...Object.keys(numbers)])

const jwksPath = '/.well-known/jwks.json'

/** What is wrong with the `revocations` of the options of an issuer. */
export function* revocationProblems(
  given: Readonly<Record<string, unknown>>,
): Iterable<FieldProblem> {
  const { revocations } = given
  if (revocations === undefined || typeof revocations === 'boolean') {
    if (revocations === true && isRequestScoped()) yield cannotFollow
    if (revocations === true) yield* addressProblems(given, {})
    return
  }
  if (typeof revocations !== 'object' || revocations === null) {
    yield problem('', 'it must be true, options, or an object that has isRevoked')
    return
  }
  if (isList(revocations)) return
  if (isRequestScoped()) yield cannotFollow
  const options = revocations as Readonly<Record<string, unknown>>
  for (const name of Object.keys(options)) {
    if (!names.has(name)) yield problem(`/${name}`, 'there is no such option')
  }
  const { stream = true } = options
  if (typeof stream !== 'boolean') yield problem('/stream', 'it must be true or false')
  for (const [name, { min, max }] of Object.entries(numbers)) {
    const value = options[name] ?? min
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
      yield problem(`/${name}`, `it must be a whole number from ${min} to ${max}`)
    }
  }
  yield* addressProblems(given, options)
}

/** Signed-out tokens would be accepted, and nobody would know. */
const cannotFollow = problem(
  '',
  'this runtime (workerd) ends connections and timers with each request, so it cannot follow revocations: ' +
    'leave the option out, or pass a list of your own',
)

function* addressProblems(
  { issuer, jwksUri }: Readonly<Record<string, unknown>>,
  { uri }: Readonly<Record<string, unknown>>,
): Iterable<FieldProblem> {
  const address = uri ?? jwksUri ?? issuer
  if (!isWebAddress(address) || address.includes('?') || address.includes('#')) {
    yield problem('/uri', 'it must be an http or https address without query or fragment')
  }
}

/** The list that was passed in, or one that follows the issuer; null if none is asked for. */
export function openRevocations(
  options: IssuerOptions,
  parts: {
    readonly keys: KeySource
    readonly clock: Clock
    readonly clockTolerance_s: number
    readonly fetchTimeoutMs: number
  },
): Revocations | null {
  const { issuer, revocations = false } = options
  if (revocations === false) return null
  if (revocations !== true && isList(revocations)) return revocations
  const given = revocations === true ? {} : revocations
  return new RevocationFollower({
    ...parts,
    issuer,
    uri: given.uri ?? feedAddress(options),
    stream: given.stream ?? true,
    pollInterval_s: given.pollInterval_s ?? numbers.pollInterval_s.byDefault,
    streamSilence_s: given.streamSilence_s ?? numbers.streamSilence_s.byDefault,
    entriesMax: given.entriesMax ?? numbers.entriesMax.byDefault,
    ...(given.maxStaleness_s !== undefined && { maxStaleness_s: given.maxStaleness_s }),
    random: Math.random,
  })
}

function isList(revocations: object): revocations is Revocations {
  return typeof (revocations as Partial<Revocations>).isRevoked === 'function'
}

/** Where an issuer is reached for its keys, as by a name inside a cluster, the feed is too. */
function feedAddress({ issuer, jwksUri }: IssuerOptions): string {
  const base = jwksUri?.endsWith(jwksPath) ? jwksUri.slice(0, -jwksPath.length) : issuer
  return `${base.endsWith('/') ? base.slice(0, -1) : base}/revocations`
}

function problem(pointer: string, detail: string): FieldProblem {
  return { pointer: `/revocations${pointer}`, detail }
}
