/** Checks the prose of documents, comments and messages. Prints every fault; fails if there is one. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectFiles, projectFolder } from './project-files.ts'
import {
  type Fault,
  faultsOf,
  messagesOfSource,
  type Passage,
  passagesOfMarkdown,
  passagesOfSource,
} from './prose.ts'
import { loadSpellCheck } from './spelling.ts'

/** This file contains the words that it forbids. */
const ownRules = 'scripts/prose.ts'

const spellCheck = await loadSpellCheck()
if (spellCheck === null) {
  console.log('Spelling is not checked: run npm ci to install the dictionary.')
  if (process.env.CI === 'true') process.exitCode = 1
}

function misspelled({ line, text }: Passage): Fault[] {
  const words = spellCheck?.(text) ?? []
  return words.map((word) => ({ line, rule: 'is not in the dictionary', text: word }))
}

function faultsIn(path: string): Fault[] {
  const text = readFileSync(join(projectFolder, path), 'utf8')
  const passages = path.endsWith('.md') ? passagesOfMarkdown(text) : passagesOfSource(text)
  const messages = path.startsWith('src/') ? messagesOfSource(text) : []
  return [...passages.flatMap(misspelled), ...[...passages, ...messages].flatMap(faultsOf)]
}

const paths = projectFiles().filter((path) => /\.(md|ts)$/.test(path) && path !== ownRules)
let count = 0
for (const path of paths) {
  for (const { line, rule, text } of faultsIn(path)) {
    count += 1
    console.error(`${path}:${line} ${rule}: ${text}`)
  }
}
if (count > 0) {
  console.error(
    `\n${count} faults. CONTRIBUTING.md has the rules; words of this project belong in scripts/dictionary.txt.`,
  )
  process.exitCode = 1
}
