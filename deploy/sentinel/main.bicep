// Table, data collection rule and role for the sink "sentinel" of davinci-siem, in the resource group of the workspace.
//
//   az deployment group create --resource-group GROUP --template-file main.bicep \
//     --parameters workspaceName=WORKSPACE principalId=OBJECT_ID
//
// The outputs are the values of the sink's keys endpoint, rule_id and stream.

@description('Name of the Log Analytics workspace of Microsoft Sentinel, in this resource group.')
param workspaceName string

@description('Object id of the identity that sends events: of the service principal of the app registration (not of the app registration itself), or of the managed identity. Empty: no role is assigned.')
param principalId string = ''

@description('Region of the workspace.')
param location string = resourceGroup().location

@description('Name of the data collection rule.')
param ruleName string = 'davinci-siem'

@description('True: also creates a data collection endpoint, which Azure Private Link needs.')
param createEndpoint bool = false

@description('Days that events stay searchable; -1: as the workspace.')
param retentionInDays int = -1

// One column for each top-level field of the format ecs, and those that the sink adds. RawEvent holds the whole event in
// the formats native and ocsf, and event.original of an event above 64 KB. A field without a column is dropped by Azure.
var columns = [
  { name: 'TimeGenerated', type: 'datetime', description: 'Time of the event; Azure replaces it in events older than 2 days' }
  { name: 'EventTime', type: 'datetime', description: 'Time of the event, unchanged' }
  { name: 'RecordUid', type: 'string', description: 'The same in each copy of an event' }
  { name: 'RawEvent', type: 'dynamic', description: 'The received event, where no other column can hold it' }
  { name: 'message', type: 'string', description: 'Summary of the event' }
  { name: 'client', type: 'dynamic', description: 'Application that acted' }
  { name: 'cloud', type: 'dynamic', description: 'Environment of PingOne' }
  { name: 'ecs', type: 'dynamic', description: 'Version of the Elastic Common Schema' }
  { name: 'error', type: 'dynamic', description: 'Error of a connector' }
  { name: 'event', type: 'dynamic', description: 'Id, type, category and outcome' }
  { name: 'group', type: 'dynamic', description: 'Affected group' }
  { name: 'log', type: 'dynamic', description: 'Severity' }
  { name: 'observer', type: 'dynamic', description: 'Product' }
  { name: 'ping_one', type: 'dynamic', description: 'Fields of PingOne and DaVinci' }
  { name: 'related', type: 'dynamic', description: 'All users and addresses of the event' }
  { name: 'service', type: 'dynamic', description: 'Service' }
  { name: 'source', type: 'dynamic', description: 'Address of the client' }
  { name: 'tags', type: 'dynamic', description: 'Tags' }
  { name: 'transaction', type: 'dynamic', description: 'Id of the flow run' }
  { name: 'url', type: 'dynamic', description: 'Affected resource' }
  { name: 'user', type: 'dynamic', description: 'User who acted, and affected user' }
  { name: 'user_agent', type: 'dynamic', description: 'User agent of the client' }
]

var streamName = 'Custom-PingOneEvents'
var tableName = 'PingOneEvents_CL'

// Monitoring Metrics Publisher
var publisherRoleId = '3913510d-42f4-4e42-8a64-420c390055eb'

resource workspace 'Microsoft.OperationalInsights/workspaces@2022-10-01' existing = {
  name: workspaceName
}

resource table 'Microsoft.OperationalInsights/workspaces/tables@2022-10-01' = {
  parent: workspace
  name: tableName
  properties: {
    plan: 'Analytics'
    retentionInDays: retentionInDays
    schema: {
      name: tableName
      columns: columns
    }
  }
}

resource endpoint 'Microsoft.Insights/dataCollectionEndpoints@2023-03-11' = if (createEndpoint) {
  name: ruleName
  location: location
  properties: {
    networkAcls: {
      publicNetworkAccess: 'Enabled'
    }
  }
}

resource rule 'Microsoft.Insights/dataCollectionRules@2023-03-11' = {
  name: ruleName
  location: location
  kind: 'Direct'
  properties: {
    dataCollectionEndpointId: createEndpoint ? endpoint.id : null
    streamDeclarations: {
      '${streamName}': {
        columns: [for column in columns: { name: column.name, type: column.type }]
      }
    }
    destinations: {
      logAnalytics: [
        {
          name: 'workspace'
          workspaceResourceId: workspace.id
        }
      ]
    }
    dataFlows: [
      {
        streams: [streamName]
        destinations: ['workspace']
        transformKql: 'source'
        outputStream: 'Custom-${tableName}'
      }
    ]
  }
  dependsOn: [table]
}

resource publisher 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(principalId)) {
  name: guid(rule.id, principalId, publisherRoleId)
  scope: rule
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', publisherRoleId)
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

output endpoint string = rule.properties.endpoints.logsIngestion
output privateEndpoint string = createEndpoint ? endpoint.properties.logsIngestion.endpoint : ''
output rule_id string = rule.properties.immutableId
output stream string = streamName
