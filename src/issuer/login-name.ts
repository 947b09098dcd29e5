import { GatepassError } from '../core/errors.ts'

/** UTF-16 units; the longest address that mail can be sent to (RFC 5321 §4.5.3.1.3). */
const lengthMax = 254

/**
 * What a name can't hold: control, format, private and unassigned characters, line separators, and
 * others that show as nothing. Two names that look the same must not differ by one of these; and
 * an unassigned character may normalise in another way after an upgrade of Unicode.
 */
const refused = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u
const spaceAtAnEnd = /^\s|\s$/u

/**
 * The form in which a login name is stored and looked up: one for all ways of typing it, whatever
 * the case, the width and the composition of its letters (compare RFC 8265 §3.3). The locale plays
 * no part, and the result is its own normal form.
 *
 * @throws `login_name_invalid`
 */
export function normalizeLoginName(text: string): string {
  if (text.length > lengthMax) throw tooLong()
  const name = text
    .normalize('NFKC')
    .toLowerCase()
    // Lower case of Σ depends on its place in the word: one letter, so one form.
    .replaceAll('ς', 'σ')
    .normalize('NFKC')
  if (name === '') throw invalid('The login name is empty.')
  if (name.length > lengthMax) throw tooLong()
  if (refused.test(name)) throw invalid('The login name has a character that is not allowed.')
  if (spaceAtAnEnd.test(name)) throw invalid('The login name starts or ends with white space.')
  return name
}

function tooLong(): GatepassError {
  return invalid(`The login name is longer than ${lengthMax} characters.`)
}

function invalid(detail: string): GatepassError {
  return new GatepassError('login_name_invalid', { detail })
}
