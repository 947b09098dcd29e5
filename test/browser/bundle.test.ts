import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { runInThisContext } from 'node:vm'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { bundle, bundles } from '../../scripts/browser-bundles.ts'
import { createTestFolder } from '../support/test-folder.ts'

const maxBytes = { index: 4096, redirect: 6656 }

for (const one of bundles) {
  t.test(`${one.file} is small, whole, and needs no browser to be loaded`, async (t) => {
    const path = join(createTestFolder(t), one.file.replace('.js', '.mjs'))
    await bundle(one, path)
    const bytes = gzipSync(readFileSync(path), { level: 9 }).length
    t.ok(bytes < maxBytes[one.entry], `${bytes} bytes`)
    const exported =
      one.format === 'esm'
        ? await import(pathToFileURL(path).href)
        : runInThisContext(`${readFileSync(path, 'utf8')};gatepass`)
    t.same(Object.keys(exported).sort(), ['AuthClientError', 'createAuthClient'])
    const client = exported.createAuthClient({
      issuer: 'https://auth.example.com',
      clientId: 'shop',
      redirectUri: 'https://shop.example/',
    })
    t.same(client.state, { status: 'unknown' })
    client.close()
  })
}
