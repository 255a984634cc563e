// Runs s3rver, a server of Object Storage that keeps objects as files: `s3rver.mjs DIRECTORY PORT`.
//
// It knows one access key, and refuses others; it takes every signature. The key and where the package
// is come from the environment.

import { createRequire } from 'node:module'

const { argv, env } = process
const packages = createRequire(`${env.NODE_MODULES}/`)
const { DUMMY_ACCOUNT } = packages('s3rver/lib/models/account')
DUMMY_ACCOUNT.createKeyPair(env.ACCESS_KEY, '')
const S3rver = packages('s3rver')
const [directory, port] = argv.slice(2)
await new S3rver({
  directory,
  address: '127.0.0.1',
  port: Number(port),
  silent: true,
  vhostBuckets: false,
}).run()
