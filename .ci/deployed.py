def check_files(program, events, ecs, problems):
    return "deploy: nothing yet"
