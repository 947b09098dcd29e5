import { posix } from 'node:path'

export interface Fetched {
  readonly status: number
  readonly type: string
  readonly text: string
}

/**
 * All that a browser loads of the page, by its paths: what the page names, and what the modules
 * import in turn.
 */
export async function loadPage(
  get: (path: string) => Promise<Fetched>,
): Promise<ReadonlyMap<string, Fetched>> {
  const index = await get('/')
  const loaded = new Map([['/', index]])
  const linked = [...index.text.matchAll(/(?:src|href)="(playground\/[^"]+)"/g)]
  const waiting = linked.map(([, path]) => `/${path}`)
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (loaded.has(path)) continue
    const file = await get(path)
    loaded.set(path, file)
    if (!file.type.startsWith('text/javascript')) continue
    const folder = posix.dirname(path)
    const imported = [...file.text.matchAll(/^(?:import|export)\b.* from '([^']+)'/gm)]
    waiting.push(...imported.map(([, name = '']) => posix.join(folder, name)))
  }
  return loaded
}
