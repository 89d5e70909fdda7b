variable "environment_id" {
  description = "The environment whose events are sent. One webhook, and one [sources.NAME], for each."
  type        = string
}

variable "url" {
  description = "Where davinci-siem, or the proxy before it, is reached; its certificate is checked."
  type        = string
  validation {
    condition     = startswith(var.url, "https://")
    error_message = "PingOne posts to https:// only."
  }
}

variable "username" {
  description = "The user name of the source's basic credentials."
  type        = string
  default     = "pingone"
  validation {
    condition     = !strcontains(var.username, ":")
    error_message = "A user name cannot hold a colon."
  }
}

variable "password" {
  description = "What is in the source's password_file. It ends up in Terraform's state."
  type        = string
  sensitive   = true
  validation {
    condition     = length(var.password) >= 16
    error_message = "davinci-siem refuses passwords of fewer than 16 characters where other machines reach it."
  }
}

variable "name" {
  description = "The webhook's name in PingOne."
  type        = string
  default     = "davinci-siem"
}

variable "enabled" {
  description = "false: PingOne keeps the events, for two weeks, and sends them when it is true again."
  type        = bool
  default     = true
}

variable "client_key_id" {
  description = "A key of usage OUTBOUND_MTLS that PingOne shows, where listen.tls.client_ca asks for one."
  type        = string
  default     = null
}

variable "with_node_interactions" {
  description = "RECEIVE_REQUEST and SEND_RESPONSE, too."
  type        = bool
  default     = false
}

variable "with_administration" {
  description = "Changes of flows, connectors, variables and so on, too; where they are available."
  type        = bool
  default     = false
}

variable "other_action_types" {
  description = "Other action types of PingOne, such as USER.CREATED."
  type        = list(string)
  default     = []
}

variable "with_addresses" {
  description = "The actor's IP address in source.ipAddress; personal data."
  type        = bool
  default     = false
}

variable "with_user_agents" {
  description = "The actor's user agent in source.userAgent; personal data."
  type        = bool
  default     = false
}
