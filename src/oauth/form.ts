import { GatepassError } from '../core/errors.ts'

/** Maximum number of parameters of a request. No specification needs as many. */
const maxParameters = 64

/** The parameters of a request in form encoding, each of them once. */
export type Form = Readonly<Record<string, string>>

/** The parameters of a request, and the names that occur more than once. */
export interface ReceivedParameters {
  readonly values: Form
  readonly repeated: ReadonlySet<string>
}

/**
 * Reads a query, or a body of `application/x-www-form-urlencoded` (RFC 6749 appendix B). A parameter
 * without a value counts as omitted (§3.1, §3.2).
 *
 * @throws `request_malformed` if there are too many parameters
 */
export function readParameters(text: string): ReceivedParameters {
  // Every other object inherits members such as `constructor`, which are no parameters.
  const values: Record<string, string> = Object.create(null)
  const repeated = new Set<string>()
  let count = 0
  for (const [name, value] of new URLSearchParams(text)) {
    count += 1
    if (count > maxParameters) throw malformed('There are too many parameters.')
    if (value === '') continue
    if (name in values) repeated.add(name)
    else values[name] = value
  }
  return { values, repeated }
}

/**
 * Reads a body whose parameters occur once.
 *
 * @throws `request_malformed` if there are too many parameters, or one occurs twice;
 *   `resource_not_allowed` for two `resource`s or `audience`s: a token has one audience
 */
export function parseForm(body: string): Form {
  const { values, repeated } = readParameters(body)
  if (repeated.has('resource') || repeated.has('audience')) throw severalAudiences()
  refuseRepeated(repeated)
  return values
}

/** @throws `request_malformed` if a parameter occurs more than once */
export function refuseRepeated(repeated: ReceivedParameters['repeated']): void {
  if (repeated.size > 0) throw malformed('A parameter comes twice.')
}

/** Formats parameters in form encoding. Leaves out those without a value. */
export function formatForm(parameters: Readonly<Record<string, string | undefined>>): string {
  const given = Object.entries(parameters).filter(
    (pair): pair is [string, string] => pair[1] !== undefined,
  )
  return String(new URLSearchParams(given))
}

/** @throws `request_malformed` */
export function requireParameter(form: Form, name: string): string {
  const value = form[name]
  if (value === undefined) throw malformed(`The parameter ${name} is required.`)
  return value
}

/** RFC 8707 §2 allows several audiences. */
export function severalAudiences(): GatepassError {
  return new GatepassError('resource_not_allowed', { detail: 'A token has one audience.' })
}

export function malformed(detail: string): GatepassError {
  return new GatepassError('request_malformed', { detail })
}
