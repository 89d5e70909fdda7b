variable "environment_id" {
  description = "The environment that sends events. Each environment needs a webhook and a [sources.NAME]."
  type        = string
}

variable "url" {
  description = "The URL of davinci-siem, or of the proxy in front of it. PingOne verifies its certificate."
  type        = string
  validation {
    condition     = startswith(var.url, "https://")
    error_message = "PingOne posts to https:// URLs only."
  }
}

variable "username" {
  description = "The user name of the source's basic credentials."
  type        = string
  default     = "pingone"
  validation {
    condition     = !strcontains(var.username, ":")
    error_message = "A user name cannot contain a colon."
  }
}

variable "password" {
  description = "The content of the source's password_file. Terraform's state contains it."
  type        = string
  sensitive   = true
  validation {
    condition     = length(var.password) >= 16
    error_message = "davinci-siem refuses passwords of fewer than 16 characters on a listener that other machines can reach."
  }
}

variable "name" {
  description = "The name of the webhook in PingOne."
  type        = string
  default     = "davinci-siem"
}

variable "enabled" {
  description = "If false, PingOne keeps the events for two weeks and sends them when it is true again."
  type        = bool
  default     = true
}

variable "client_key_id" {
  description = "A key with usage OUTBOUND_MTLS for PingOne's client certificate, if listen.tls.client_ca requires one."
  type        = string
  default     = null
}

variable "with_node_interactions" {
  description = "Also send RECEIVE_REQUEST and SEND_RESPONSE."
  type        = bool
  default     = false
}

variable "with_administration" {
  description = "Also send changes of flows, connectors, variables and similar objects, if available."
  type        = bool
  default     = false
}

variable "other_action_types" {
  description = "Other action types of PingOne, such as USER.CREATED."
  type        = list(string)
  default     = []
}

variable "with_addresses" {
  description = "Send the actor's IP address in source.ipAddress, which is personal data."
  type        = bool
  default     = false
}

variable "with_user_agents" {
  description = "Send the actor's user agent in source.userAgent, which is personal data."
  type        = bool
  default     = false
}
