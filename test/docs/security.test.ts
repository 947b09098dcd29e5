import t from 'tap'
import { limitRules } from '../../src/issuer/login-throttle.ts'
import { readProjectFile } from '../support/project.ts'
import { codeSpans, tableRows } from './documents.ts'

const document = readProjectFile('docs/security.md')

function idsUnder(heading: string): string[] {
  return tableRows(document, heading).flatMap(([id = '']) => (/^[AI]\d+$/.test(id) ? [id] : []))
}

function upTo(letter: string, last: number): string[] {
  return Array.from({ length: last }, (_, index) => `${letter}${index + 1}`)
}

t.test('docs/security.md answers every attack on the list, in its order', async (t) => {
  t.same(idsUnder('Attacks on a verifier'), upTo('A', 34))
  t.same(idsUnder('Attacks on the issuer'), upTo('I', 15))
})

t.test('an attack is held somewhere and tested, or said not to be', async (t) => {
  const rows = ['Attacks on a verifier', 'Attacks on the issuer']
    .flatMap((heading) => tableRows(document, heading))
    .filter(([id = '']) => /^[AI]\d+$/.test(id))
  for (const [id = '', , answer = '', heldIn, tests] of rows) {
    t.ok((heldIn !== '' && tests !== '') || answer.includes('**not held yet**'), id)
  }
})

t.test('the document lists each limit on failed logins with its number', async (t) => {
  const told = tableRows(document, 'Guessing passwords').flatMap(([first = '', , free = '']) => {
    const [name] = codeSpans(first)
    return name === undefined ? [] : [[name, Number.parseInt(free.replaceAll(',', ''), 10)]]
  })
  const rules = Object.entries(limitRules).map(([name, { free }]) => [name, free])
  t.same(told, rules)
})
