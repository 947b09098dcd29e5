import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { projectFolder, readProjectFile } from '../support/project.ts'
import { documentPaths, proseOf } from './documents.ts'

/** Where the links of a document lead, those to other sites left out. */
function linksOf(markdown: string): string[] {
  const targets = [...proseOf(markdown).matchAll(/\]\(([^)\s]+)\)/g)].map(([, to = '']) => to)
  return targets.filter((target) => !/^[a-z]+:/.test(target))
}

/** The anchors of a document's headings, as GitHub makes them. */
function anchorsOf(markdown: string): string[] {
  return [...proseOf(markdown).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

for (const path of documentPaths) {
  t.test(`every link of ${path} leads somewhere`, async (t) => {
    const markdown = readProjectFile(path)
    for (const link of linksOf(markdown)) {
      const [file = '', anchor] = link.split('#')
      const target = file === '' ? path : join(dirname(path), file)
      t.ok(existsSync(join(projectFolder, target)), link)
      if (anchor === undefined || !target.endsWith('.md')) continue
      t.ok(anchorsOf(readProjectFile(target)).includes(anchor), link)
    }
  })
}
