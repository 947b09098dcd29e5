import { spawnSync } from 'node:child_process'
import t from 'tap'
import {
  faultsOf,
  messagesOfSource,
  passagesOfMarkdown,
  passagesOfSource,
  sentencesOf,
} from '../../scripts/prose.ts'
import { loadSpellCheck } from '../../scripts/spelling.ts'
import { projectFolder } from '../support/project.ts'

const rulesOf = (text: string) => faultsOf({ line: 1, text }).map(({ rule }) => rule)

t.test('the documents and comments of this project have no fault', async (t) => {
  const { status, stderr } = spawnSync(process.execPath, ['scripts/check-prose.ts'], {
    cwd: projectFolder,
    encoding: 'utf8',
    // Git takes the folder for one of another user, such as the check-out in a CI container.
    env: { ...process.env, GIT_TEST_ASSUME_DIFFERENT_OWNER: 'true' },
  })
  t.equal(stderr, '')
  t.equal(status, 0)
})

t.test('each rule finds what it is for', async (t) => {
  const inverted = [
    'Who waits too long is refused.',
    'What is signed counts.',
    'Whoever has it can.',
  ]
  for (const text of inverted) t.match(rulesOf(text)[0], /inverted/, text)
  t.same(rulesOf('It is no longer slow.'), ['tells history'])
  t.same(rulesOf('Judge the token.'), ['uses a private word'])
  t.same(rulesOf('The store is away.'), ['uses a private phrase'])
  t.same(rulesOf('Configure it as above.'), ['makes the reader resolve a reference'])
  t.same(rulesOf(`${'word '.repeat(31).trim()}.`), ['has 31 words (at most 30)'])
})

t.test('plain sentences, questions and long texts of short sentences pass', async (t) => {
  t.same(rulesOf('The verifier rejects the token.'), [])
  t.same(rulesOf('What happened?'), [])
  t.same(rulesOf('The issuer signs a token. '.repeat(20)), [])
})

t.test('a text is split into sentences', async (t) => {
  t.same(sentencesOf('One. Two (it is 2.5 s). X is three.'), [
    'One.',
    'Two (it is 2.5 s).',
    'X is three.',
  ])
})

t.test('paragraphs, list items and cells are passages; headings and code are not', async (t) => {
  const markdown = `# What a heading says

A paragraph with \`code\`
on two lines, and [a link](x.md).

- First item.
- Second item.

| a cell | another cell |
| --- | --- |

\`\`\`sh
What is here does not count.
\`\`\`
`
  t.same(passagesOfMarkdown(markdown), [
    { line: 3, text: 'A paragraph with X on two lines, and a link.' },
    { line: 6, text: 'First item.' },
    { line: 7, text: 'Second item.' },
    { line: 9, text: 'a cell' },
    { line: 9, text: 'another cell' },
  ])
})

t.test('comments are passages, tags and list items of their own', async (t) => {
  const source = `/**
 * Does a thing
 * on two lines.
 *
 * - An item.
 *
 * @param name the name of it
 * @throws \`code\` on failure
 */
const text = 'What is in a text'
// A line,
// and another.
/** One line. */
`
  t.same(passagesOfSource(source), [
    { line: 2, text: 'Does a thing on two lines.' },
    { line: 5, text: 'An item.' },
    { line: 7, text: 'the name of it' },
    { line: 8, text: 'on failure' },
    { line: 11, text: 'A line, and another.' },
    { line: 13, text: 'One line.' },
  ])
})

const misspelled = await loadSpellCheck()
const withDictionary = { skip: misspelled === null && 'no dictionary: run npm ci' }

t.test('words are checked, names of code are not', withDictionary, async (t) => {
  if (misspelled === null) return
  t.same(misspelled('The verifer recieves a token.'), ['verifer', 'recieves'])
  t.same(misspelled("Gatepass's verifier rejects the user's JWT, as createVerifier does."), [])
})

t.test('messages are found, names of code are not', async (t) => {
  const source = `// A comment with 'some words in quotes'.
const code = 'token_missing'
throw refuse(\`has an unknown mode; use \${modes}\`)
`
  t.same(messagesOfSource(source), [{ line: 3, text: 'has an unknown mode; use X' }])
})
