// Speaks to an Edge Services API with the official JavaScript SDK.
//
// Creates, gets, waits and lists, and prints what came back as one JSON document. The address, the
// key, the two pipelines and where the SDK is come from the environment.

import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const { env } = process
const sdk = createRequire(`${env.NODE_MODULES}/`)
const load = name => import(pathToFileURL(sdk.resolve(name)).href)
const { createClient } = await load('@scaleway/sdk-client')
const { EdgeServicesv1beta1 } = await load('@scaleway/sdk-edge-services')

const api = new EdgeServicesv1beta1.API(
  createClient({
    accessKey: 'SCWXXXXXXXXXXXXXXXXX',
    secretKey: env.API_KEY,
    apiURL: env.API_URL,
  }),
)
const pipeline = env.PIPELINE
const other = env.OTHER_PIPELINE

const plain = request => ({
  id: request.id,
  pipeline: request.pipelineId,
  status: request.status,
  assets: request.assets,
  all: request.all,
  dated: request.createdAt instanceof Date && request.updatedAt instanceof Date,
})
const ids = requests => requests.map(request => request.id)
const status = call =>
  call.then(
    () => 200,
    refusal => refusal.status,
  )

const made = await api.createPurgeRequest({ pipelineId: pipeline, assets: ['/a.css', '/b?c=%C3%A9'] })
const got = await api.getPurgeRequest({ purgeRequestId: made.id })
const waited = await api.waitForPurgeRequest({ purgeRequestId: made.id })
const { id } = await api.createPurgeRequest({ pipelineId: other, all: true })
const whole = await api.waitForPurgeRequest({ purgeRequestId: id })
for (let number = 0; number < 5; number += 1) {
  await api.createPurgeRequest({ pipelineId: pipeline, assets: [`/${number}`] })
}

console.log(
  JSON.stringify({
    made: plain(made),
    got: plain(got),
    waited: plain(waited),
    whole: plain(whole),
    refusals: {
      'unknown request': await status(api.getPurgeRequest({ purgeRequestId: pipeline })),
      'no target': await status(api.createPurgeRequest({ pipelineId: pipeline })),
      'bad asset': await status(api.createPurgeRequest({ pipelineId: pipeline, assets: ['a'] })),
    },
    'oldest first': ids(await api.listPurgeRequests({ pageSize: 2 }).all()),
    'newest first': ids(await api.listPurgeRequests({ pageSize: 3, orderBy: 'created_at_desc' }).all()),
    page: ids((await api.listPurgeRequests({ page: 2, pageSize: 3 })).purgeRequests),
    total: (await api.listPurgeRequests()).totalCount,
    pipeline: ids(await api.listPurgeRequests({ pipelineId: other }).all()),
    project: ids(await api.listPurgeRequests({ projectId: env.OTHER_PROJECT }).all()),
    organization: ids(await api.listPurgeRequests({ organizationId: env.OTHER_ORGANIZATION }).all()),
  }),
)
