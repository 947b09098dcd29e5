/** Checks the prose of documents and comments. Prints every fault, and fails if there is one. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import {
  type Fault,
  faultsOf,
  type Passage,
  passagesOfMarkdown,
  passagesOfSource,
} from './prose.ts'
import { loadSpellCheck, type SpellCheck } from './spelling.ts'

/** Explains itself in the words that it looks for. */
const ownRules = 'scripts/prose.ts'

function read(path: string): Passage[] {
  const text = readFileSync(path, 'utf8')
  return path.endsWith('.md') ? passagesOfMarkdown(text) : passagesOfSource(text)
}

function check(passage: Passage, misspelled: SpellCheck): Fault[] {
  const words = misspelled(passage.text)
  return [
    ...faultsOf(passage),
    ...words.map((word) => {
      return { line: passage.line, rule: 'is not in the dictionary', text: word }
    }),
  ]
}

const list = execFileSync('git', ['ls-files', '-z', '*.md', '*.ts'], { encoding: 'utf8' })
const paths = list.split('\0').filter((path) => /\.(md|ts)$/.test(path))
const checked = paths.filter((path) => path !== ownRules)
const spellCheck = await loadSpellCheck()
if (spellCheck === null) {
  console.log('Spelling is not checked: run npm ci to install the dictionary.')
  if (process.env.CI === 'true') process.exitCode = 1
}
const misspelled = spellCheck ?? (() => [])
let count = 0
for (const path of checked) {
  for (const passage of read(path)) {
    for (const { line, rule, text } of check(passage, misspelled)) {
      count += 1
      console.error(`${path}:${line} ${rule}: ${text}`)
    }
  }
}
if (count > 0) {
  console.error(
    `\n${count} faults. CONTRIBUTING.md has the rules; words of this project belong in scripts/dictionary.txt.`,
  )
  process.exitCode = 1
}
