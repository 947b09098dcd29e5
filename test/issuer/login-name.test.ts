import t from 'tap'
import { isGatepassError } from '../../src/core/errors.ts'
import { normalizeLoginName } from '../../src/issuer/login-name.ts'
import fc, { anyText } from '../support/properties.ts'

const same: Record<string, string[]> = {
  'alice@example.com': ['alice@example.com', 'Alice@Example.COM', 'ａｌｉｃｅ＠example.com'],
  jürgen: ['jürgen', 'JÜRGEN', 'ju\u0308rgen', 'JU\u0308RGEN'],
  οδυσσευσ: ['ΟΔΥΣΣΕΥΣ', 'οδυσσευς', 'οδυσσευσ'],
  ασ1: ['ΑΣ1', 'ασ1', 'ας1'],
  fi: ['fi', 'ﬁ', 'Fi'],
  'anna maria': ['anna maria', 'Anna\u00a0Maria', 'anna\u3000maria'],
  'i\u0307': ['İ'],
  k: ['K', '\u212a'],
  ß: ['ß', 'ẞ'],
  山田: ['山田'],
  "o'brien+tag_1": ["O'Brien+Tag_1"],
}

for (const [name, typed] of Object.entries(same)) {
  t.test(`all spellings of ${name} have one normal form`, async (t) => {
    for (const text of typed) t.equal(normalizeLoginName(text), name.normalize('NFKC'))
  })
}

const refused: Record<string, string> = {
  empty: '',
  'one space': ' ',
  'a space before': ' alice',
  'a space after': 'alice ',
  'a no-break space after': 'alice\u00a0',
  'a line feed after': 'alice\n',
  'a tab inside': 'al\tice',
  NUL: 'alice\0',
  'an escape sequence': '\u001b[2Jalice',
  C1: 'al\u009bice',
  'a zero-width space': 'al\u200bice',
  'a zero-width joiner': 'al\u200dice',
  'a byte order mark': '\ufeffalice',
  'right-to-left override': 'alice\u202eecila',
  'a soft hyphen': 'al\u00adice',
  'a line separator': 'al\u2028ice',
  'a combining grapheme joiner': 'al\u034fice',
  'a Hangul filler': '\u3164',
  'a variation selector': 'alice\ufe0f',
  'a tag character': 'alice\u{e0061}',
  'private use': 'alice\ue000',
  unassigned: 'alice\u0378',
  'a noncharacter': 'alice\uffff',
  'half a surrogate pair': 'alice\ud83d',
  'too long': 'a'.repeat(255),
  'too long once it is normalised': '\ufdfa'.repeat(20),
  'an absurd length': 'a'.repeat(10_000_000),
}

for (const [what, text] of Object.entries(refused)) {
  t.test(`a login name is refused: ${what}`, async (t) => {
    t.throws(() => normalizeLoginName(text), { code: 'login_name_invalid', status: 422 })
  })
}

t.test('254 characters are allowed', async (t) => {
  t.equal(normalizeLoginName('A'.repeat(254)), 'a'.repeat(254))
})

/** The normal form, or null for an invalid name. */
function normalize(text: string): string | null {
  try {
    return normalizeLoginName(text)
  } catch (error) {
    if (isGatepassError(error, 'login_name_invalid')) return null
    throw error
  }
}

/** Whether a name has one form, in whatever case it is typed. */
function isStable(text: string): boolean {
  const name = normalize(text)
  return name === null || (normalize(name) === name && name === name.normalize('NFKC'))
}

t.test('the normal form of every assigned character is stable', async (t) => {
  const unstable: string[] = []
  for (let codePoint = 0; codePoint <= 0x10ffff; codePoint += 1) {
    const text = String.fromCodePoint(codePoint)
    if (/\p{C}/u.test(text)) continue
    if (!isStable(text) || !isStable(`a${text}\u0301`)) unstable.push(codePoint.toString(16))
  }
  t.strictSame(unstable, [])
})

t.test('the normal form of every name is stable', async () => {
  const marks = fc.constantFrom(
    '\u0301',
    '\u0307',
    '\u0323',
    '\u0345',
    'Σ',
    'ς',
    'İ',
    'ǆ',
    'ﬃ',
    'ſ',
  )
  const names = fc.array(fc.oneof(anyText, marks)).map((list) => list.join(''))
  fc.assert(fc.property(names, isStable), { numRuns: 2000 })
})

t.test('case makes no difference', async () => {
  const letters = fc.string({ unit: fc.constantFrom(...'abcxyzäöüéñçåαβγσωабвяđł0-_.@') })
  fc.assert(
    fc.property(letters, (text) => normalize(text.toUpperCase()) === normalize(text)),
    { numRuns: 1000 },
  )
})
