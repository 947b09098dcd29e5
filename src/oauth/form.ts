import { GatepassError } from '../core/errors.ts'

/** Maximum number of parameters of a request. No specification needs as many. */
export const maxParameters = 64

/** The parameters of a request in form encoding, each of them once. */
export type Form = ReadonlyMap<string, string>

/**
 * Reads a body of `application/x-www-form-urlencoded` (RFC 6749 appendix B). A parameter without a
 * value counts as omitted (§3.2).
 *
 * @throws `request_malformed` if there are too many parameters, or one occurs twice;
 *   `resource_not_allowed` for two `resource`s or `audience`s: a token has one audience
 */
export function parseForm(body: string): Form {
  const form = new Map<string, string>()
  let count = 0
  for (const [name, value] of new URLSearchParams(body)) {
    count += 1
    if (count > maxParameters) throw malformed('There are too many parameters.')
    if (value === '') continue
    if (form.has(name)) {
      if (name === 'resource' || name === 'audience') {
        throw severalAudiences()
      }
      throw malformed('A parameter comes twice.')
    }
    form.set(name, value)
  }
  return form
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
  const value = form.get(name)
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
