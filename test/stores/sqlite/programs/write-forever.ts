// Writes numbers into a database, several at once, and says each after it was acknowledged.
import { writeSync } from 'node:fs'
import { SqliteDatabase } from '../../../../src/stores/sqlite/database.ts'

const [path = '', filler_bytes = '0', first = '1'] = process.argv.slice(2)
const writers = 8
const db = new SqliteDatabase(path, {
  name: 'numbers',
  migrations: [
    { name: 'numbers', sql: 'CREATE TABLE numbers (n INTEGER PRIMARY KEY, filler BLOB) STRICT' },
  ],
})
const insert = db.prepare('INSERT INTO numbers VALUES (?, randomblob(?))')
let next = Number(first)

async function writeForever(): Promise<never> {
  for (;;) {
    const n = next++
    await db.write(() => insert.run(n, Number(filler_bytes)))
    writeSync(1, `${n}\n`)
  }
}

await Promise.all(Array.from({ length: writers }, writeForever))
