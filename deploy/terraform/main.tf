# PingOne's webhook for davinci-siem: README.md in this directory.

terraform {
  required_version = ">= 1.5" # strcontains
  required_providers {
    pingone = {
      source  = "pingidentity/pingone"
      version = ">= 1.0, < 2.0"
    }
  }
}

# PINGONE_CLIENT_ID, PINGONE_CLIENT_SECRET, PINGONE_ENVIRONMENT_ID and PINGONE_REGION_CODE identify the worker
# application.
provider "pingone" {}

locals {
  # Runs of flows.
  interactions = [
    "DAVINCI_INTERACTION.START_INTERACTION",
    "DAVINCI_INTERACTION.CUSTOM_ANALYTICS",
    "DAVINCI_INTERACTION.SEND_ERROR_RESPONSE",
  ]

  # Deprecated by Ping Identity; one or more per node, most of the volume.
  node_interactions = [
    "DAVINCI_INTERACTION.RECEIVE_REQUEST",
    "DAVINCI_INTERACTION.SEND_RESPONSE",
  ]

  # Changes by administrators in DaVinci; early access.
  administration = concat(
    ["DAVINCI.COMPANY.ENABLE_ANALYTICS_DEBUG_VIEW"],
    [for what in ["CREATED", "UPDATED", "DELETED", "DEPLOYED", "CLONED", "IMPORTED", "ENABLED", "DISABLED"] : "DAVINCI.FLOW.${what}"],
    [for what in ["ENABLED", "DISABLED"] : "DAVINCI.FLOW.DEBUG_LOGGING.${what}"],
    [for what in ["ADDED", "UPDATED"] : "DAVINCI.FLOW.CUSTOM_JAVASCRIPT.${what}"],
    [for what in ["REVERTED", "ALIAS.UPDATED", "DELETED"] : "DAVINCI.FLOW.VERSION.${what}"],
    [for what in ["ADDED", "OVERRIDDEN"] : "DAVINCI.FLOW.SESSION.CONFIGURATIONS.${what}"],
    flatten([
      for object in ["CONNECTOR", "VARIABLE", "FLOW_POLICY", "APPLICATION", "UI_TEMPLATE"] :
      [for what in ["CREATED", "UPDATED", "DELETED"] : "DAVINCI.${object}.${what}"]
    ]),
  )
}

resource "pingone_webhook" "davinci_siem" {
  environment_id = var.environment_id
  name           = var.name
  enabled        = var.enabled

  http_endpoint_url = var.url
  http_endpoint_headers = {
    Authorization = "Basic ${base64encode("${var.username}:${var.password}")}"
  }
  verify_tls_certificates     = true
  tls_client_auth_key_pair_id = var.client_key_id

  format = "ACTIVITY"

  filter_options = {
    included_action_types = concat(
      local.interactions,
      var.with_node_interactions ? local.node_interactions : [],
      var.with_administration ? local.administration : [],
      var.other_action_types,
    )
    ip_address_exposed = var.with_addresses
    useragent_exposed  = var.with_user_agents
  }
}

output "webhook_id" {
  description = "ID for terraform import and for PingOne's support."
  value       = pingone_webhook.davinci_siem.id
}
