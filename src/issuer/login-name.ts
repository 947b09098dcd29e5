import { GatepassError } from '../core/errors.ts'

/** In UTF-16 units: the longest e-mail address (RFC 5321 §4.5.3.1.3). */
const maxLength = 254

/**
 * Characters that a login name must not contain: control, format, private and unassigned characters,
 * line separators, and invisible characters. Two names that look alike must not differ by one of
 * them, and an unassigned character may normalize differently in a later version of Unicode.
 */
const refused = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u
const outerSpace = /^\s|\s$/u

/**
 * Returns the form in which a login name is stored and looked up. Case, width and composition of the
 * letters make no difference (compare RFC 8265 §3.3), nor does the locale. The result is its own
 * normal form.
 *
 * @throws `login_name_invalid`
 */
export function normalizeLoginName(text: string): string {
  if (text.length > maxLength) throw tooLong()
  const name = text
    .normalize('NFKC')
    .toLowerCase()
    // The lower case of Σ depends on its position in the word.
    .replaceAll('ς', 'σ')
    .normalize('NFKC')
  if (name === '') throw invalid('The login name is empty.')
  if (name.length > maxLength) throw tooLong()
  if (refused.test(name)) throw invalid('The login name has a character that is not allowed.')
  if (outerSpace.test(name)) throw invalid('The login name starts or ends with white space.')
  return name
}

function tooLong(): GatepassError {
  return invalid(`The login name is longer than ${maxLength} characters.`)
}

function invalid(detail: string): GatepassError {
  return new GatepassError('login_name_invalid', { detail })
}
